//! HAProxy, configured as the original configures it (`reference/amphora.md` §9 and §10), as the measure of L7 policies,
//! session persistence and the PROXY protocol.

mod actions;
mod persistence;
mod proxy_protocol;
mod rules;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const HAPROXY: &str = "/usr/sbin/haproxy";

/// One of our own.
struct HaProxy {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl HaProxy {
    /// Starts it with the lines of a frontend, and what comes after. `None` when it is not installed, which
    /// `cargo xtask test` does.
    fn start(frontend: &str) -> Option<Self> {
        if !Path::new(HAPROXY).exists() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        // It inherits the listening socket: who connects before it accepts, waits.
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).unwrap();
        let config = format!(
            "global\n    maxconn 100\ndefaults\n    mode http\n    timeout client 20s\n    timeout server 20s\n    \
             timeout connect 5s\nfrontend listener\n    bind fd@{}\n{frontend}",
            socket.as_raw_fd()
        );
        let path = dir.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(HAPROXY);
        command.arg("-db").arg("-f").arg(path).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        Some(Self { child, address: socket.local_addr().unwrap(), _dir: dir })
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
