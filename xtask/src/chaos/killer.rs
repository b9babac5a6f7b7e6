//! SIGKILL for controller, agents and proxies, by pid, of our own state directory only.

use std::time::Duration;

use anyhow::Result;
use octavia_testkit::{AllInOne, LoadHandle, proc};
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::Scene;

pub(super) struct Killer<'a> {
    product: &'a mut AllInOne,
    /// Amphorae whose proxies live.
    spared: Vec<String>,
    loads: &'a [LoadHandle],
}

impl<'a> Killer<'a> {
    pub(super) fn new(product: &'a mut AllInOne, spared: Vec<String>, loads: &'a [LoadHandle]) -> Self {
        Self { product, spared, loads }
    }

    /// Until the scene is over; leaves the controller running.
    pub(super) async fn run(mut self, scene: &Scene, mut random: StdRng) -> Result<()> {
        while !scene.over() {
            tokio::time::sleep(Duration::from_millis(random.random_range(100..1500))).await;
            match random.random_range(0..10) {
                0..3 => self.kill_controller(scene, &mut random).await?,
                3..6 => self.kill_one("amphora", &[], scene, &mut random),
                _ => {
                    let spared = self.spared.clone();
                    self.kill_one("proxy", &spared, scene, &mut random);
                }
            }
        }
        Ok(())
    }

    async fn kill_controller(&mut self, scene: &Scene, random: &mut StdRng) -> Result<()> {
        let before = self.answered();
        self.product.kill_controller();
        scene.ledger.count("killed controllers");
        // Amphorae are on their own now, and some of them die.
        for _ in 0..random.random_range(0..3) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..1000))).await;
            let kind = if random.random_bool(0.5) { "amphora" } else { "proxy" };
            let spared = if kind == "proxy" { self.spared.clone() } else { vec![] };
            self.kill_one(kind, &spared, scene, random);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
        scene.ledger.add("requests answered while the controller was down", self.answered() - before);
        self.product.restart().await
    }

    fn kill_one(&self, kind: &str, spared: &[String], scene: &Scene, random: &mut StdRng) {
        let mut processes = self.product.amphora_processes(kind, None);
        let is_spared = |word: &String| spared.iter().any(|id| word.contains(id.as_str()));
        processes.retain(|process| !process.command.iter().any(is_spared));
        if let Some(process) = processes.choose(random) {
            proc::kill(process.pid);
            scene.ledger.count(if kind == "proxy" { "killed proxies" } else { "killed agents" });
        }
    }

    fn answered(&self) -> u64 {
        self.loads.iter().map(|load| load.report().ok).sum()
    }
}
