//! SQLite on disk, and a process that is killed while it writes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use octavia_model::*;
use octavia_store::{Store, StoreOptions};

use crate::change::UPDATE;
use crate::sample;

const URL: &str = "OCTAVIA_TEST_CRASH_URL";

async fn open(url: &str) -> Store {
    let store = Store::connect(url, StoreOptions::default()).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Who writes at the same time as the one whose generations are counted.
const OTHERS: usize = 8;

/// Not a test by itself: the process that gets killed. Says each generation, and each load balancer of the others,
/// after its commit.
#[tokio::test]
#[ignore = "run by the test below"]
async fn victim() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = open(&url).await;
    for _ in 0..OTHERS {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let stored = store.lb_create(&sample::small()).await.unwrap();
                println!("\nstored {}", stored.load_balancer.id);
            }
        });
    }
    let id = store.lb_create(&sample::small()).await.unwrap().load_balancer.id;
    for round in 0..u16::MAX {
        let add = |graph: &mut LoadBalancerGraph| {
            graph.listeners.push(sample::listener(&graph.load_balancer, 81 + round));
            Ok::<_, ()>(())
        };
        let ((), graph) = store.lb_change(id, UPDATE, add).await.unwrap();
        println!("\ngeneration {id} {}", graph.load_balancer.generation);
    }
}

#[tokio::test]
async fn what_was_said_to_be_stored_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", dir.path().join("octavia.db").display());
    open(&url).await;
    for commits in [1, 5, 12] {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "crash::victim"])
            .env(URL, &url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        let (mut said, mut others) = (vec![], vec![]);
        for line in lines {
            if line.starts_with("generation") {
                said.push(line);
            } else if let Some(id) = line.strip_prefix("stored ") {
                others.push(id.parse().unwrap());
            }
            if said.len() >= commits && others.len() >= OTHERS {
                break;
            }
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        let store = open(&url).await;
        for id in others {
            assert!(store.lb_fetch(id).await.unwrap().is_some(), "{id} is lost");
        }
        let last: Vec<_> = said.last().unwrap().split(' ').collect();
        let (id, generation) = (last[1].parse().unwrap(), last[2].parse::<u64>().unwrap());
        let graph = store.lb_fetch(id).await.unwrap().unwrap();
        assert!(graph.load_balancer.generation >= generation);
        assert_eq!(graph.load_balancer.generation, graph.listeners.len() as u64, "whole changes only");
    }
}
