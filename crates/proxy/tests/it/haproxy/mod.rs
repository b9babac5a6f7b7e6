//! HAProxy, configured as the original configures it (`render`), as the measure: of single decisions by many heads, and of
//! whole connections by scripts (`differential`). And as a member (`http2`).

mod actions;
mod differential;
mod http2;
mod persistence;
mod proxy_protocol;
mod render;
mod rules;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use octavia_wire::AmphoraSpec;

use crate::rig::Rig;

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
        Self::start_with("", frontend)
    }

    /// The same with more to say of its socket.
    fn start_with(bind: &str, frontend: &str) -> Option<Self> {
        // Who connects before it accepts, waits.
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        inherit(&socket);
        let address = socket.local_addr().unwrap();
        Self::run(
            address,
            &format!(
                "global\n    maxconn 1000\ndefaults\n    mode http\n    timeout client 20s\n    timeout server 20s\n    \
             timeout connect 5s\nfrontend listener\n    bind fd@{} {bind}\n{frontend}",
                socket.as_raw_fd()
            ),
        )
    }

    /// Starts it with what the original renders of the rig's spec.
    fn beside(rig: &Rig) -> Option<Self> {
        let socket = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let mut spec = rig.spec.clone();
        let address = socket2::SockRef::from(&socket).local_addr().unwrap().as_socket().unwrap();
        (spec.listeners[0].port, spec.listeners[0].connection_limit) = (address.port(), Some(1_000));
        Self::serve(&spec, &[socket])
    }

    /// Starts it with what the original renders of a spec; it inherits the sockets of its listeners.
    fn serve(spec: &AmphoraSpec, sockets: &[OwnedFd]) -> Option<Self> {
        sockets.iter().for_each(inherit);
        let numbers: Vec<_> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
        let address = SocketAddr::new(spec.vips[0], spec.listeners[0].port);
        Self::run(address, &render::render(spec, &numbers))
    }

    fn run(address: SocketAddr, config: &str) -> Option<Self> {
        if !Path::new(HAPROXY).exists() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(HAPROXY);
        command.arg("-db").arg("-f").arg(path).stdin(Stdio::null()).stdout(Stdio::null());
        Some(Self { child: command.spawn().unwrap(), address, _dir: dir })
    }
}

fn inherit(socket: &impl AsFd) {
    rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
