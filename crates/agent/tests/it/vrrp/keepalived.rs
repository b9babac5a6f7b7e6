//! A keepalived, configured as the original configures it.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use octavia_wire::{VrrpSpec, VrrpVersion};
use rustix::process::Signal;

use super::net::{Host, INTERFACE};
use crate::amphora::{eventually, signal};

pub(crate) struct Keepalived {
    parent: Child,
    dir: tempfile::TempDir,
}

pub(crate) fn is_there() -> bool {
    Command::new("keepalived").arg("--version").output().is_ok()
}

impl Keepalived {
    /// The peer of a router of ours.
    pub(crate) fn start(host: &Host, peer: &Host, spec: &VrrpSpec, priority: u8) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let configuration = configuration(host, peer, spec, priority);
        std::fs::write(dir.path().join("keepalived.conf"), configuration).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let file = |name: &str| dir.path().join(name);
        let parent = host
            .command("keepalived")
            // In the foreground, alone with VRRP, to the console and in detail; a child that died stays dead.
            .args(["-n", "-P", "-l", "-D", "-R"])
            .arg("-f")
            .arg(file("keepalived.conf"))
            .arg("-p")
            .arg(file("parent.pid"))
            .arg("-r")
            .arg(file("child.pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { parent, dir }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    #[track_caller]
    pub(crate) fn logs(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    /// Kills it so that it says nothing any more.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Lets it leave.
    pub(crate) fn stop(mut self) {
        signal(self.parent.id(), Signal::TERM);
        eventually("keepalived ends", || self.parent.try_wait().unwrap());
    }

    /// The process that speaks VRRP; its parent only watches it.
    fn child(&self) -> Option<u32> {
        std::fs::read_to_string(self.dir.path().join("child.pid")).ok()?.trim().parse().ok()
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if self.parent.try_wait().is_ok_and(|ended| ended.is_none()) {
            // The child would leave in peace if its parent died first.
            if let Some(child) = self.child() {
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(child.cast_signed()).unwrap(),
                    Signal::KILL,
                );
            }
            let _ = self.parent.kill();
            let _ = self.parent.wait();
        }
        if std::thread::panicking() {
            eprintln!("keepalived said:\n{}", self.log());
        }
    }
}

/// `reference/amphora.md` §8; version 3 is none of the original's but for IPv6.
fn configuration(host: &Host, peer: &Host, spec: &VrrpSpec, priority: u8) -> String {
    let VrrpSpec { router_id, advert_interval_ms, vips, .. } = spec;
    let vip = vips[0];
    let version = match spec.version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    };
    let password = spec.password.as_ref().map_or(String::new(), |password| {
        format!("authentication {{\n auth_type PASS\n auth_pass {}\n }}", password.reveal())
    });
    let interval = f64::from(*advert_interval_ms) / 1000.0;
    let (own, other) = (host.address(vip), peer.address(vip));
    format!(
        "vrrp_instance lb {{
 version {version}
 interface {INTERFACE}
 virtual_router_id {router_id}
 priority {priority}
 advert_int {interval}
 nopreempt
 accept
 garp_master_refresh 5
 garp_master_refresh_repeat 2
 {password}
 unicast_src_ip {own}
 unicast_peer {{
 {other}
 }}
 virtual_ipaddress {{
 {vip}
 }}
}}
"
    )
}
