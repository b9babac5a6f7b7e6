//! nginx as a member: it ends each connection after a number of requests, however many are under way.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::http2::{Peer, request};
use crate::rig::{noise, until};

const NGINX: &str = "/usr/sbin/nginx";
/// Requests that a connection of its serves.
const ENOUGH: usize = 50;

struct Nginx {
    child: Child,
    address: SocketAddr,
    _port: Socket,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// It says `hi` at `/hi`, and has `large` at `/large`. `None` when it is not installed, which `cargo xtask test` does.
    fn start(large: &[u8]) -> Option<Self> {
        if !Path::new(NGINX).exists() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["m.example".to_owned()]).unwrap();
        std::fs::write(dir.path().join("own.pem"), own.cert.pem() + &own.signing_key.serialize_pem())
            .unwrap();
        std::fs::write(dir.path().join("large"), large).unwrap();
        // Keeps the port for it without listening there.
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        rustix::net::sockopt::set_socket_reuseport(&port, true).unwrap();
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = port.local_addr().unwrap().as_socket().unwrap();
        let here = dir.path().display();
        let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {here}/{what};\n"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
             events {{ worker_connections 256; }}\n\
             http {{ access_log off; {places}\n\
             server {{ listen {address} ssl http2 reuseport; ssl_certificate {here}/own.pem; ssl_certificate_key {here}/own.pem;\n\
             keepalive_requests {ENOUGH}; root {here}; location = /hi {{ return 200 hi; }} }} }}\n"
        );
        let path = dir.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(NGINX);
        command.arg("-e").arg(dir.path().join("error.log")).arg("-c").arg(path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        until("nginx listens", || TcpStream::connect(address).is_ok());
        Some(Self { child, address, _port: port, _dir: dir })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn no_request_is_lost_when_it_has_enough_of_a_connection() {
    let large = noise(1_000_000);
    let Some(nginx) = Nginx::start(&large) else { return };
    let rig = tuned(&[], |spec| spec.pools[0].members.push(member(nginx.address)));
    let peer = Peer::connect(rig.address);
    let address = rig.address;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..100 {
                    client.send("GET /hi HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(client.answer().text(), "hi");
                }
            })
        })
        .collect();
    for _ in 0..10 {
        let begun: Vec<_> = (0..40)
            .map(|nth| {
                // One only, which is read first: others that nobody reads would take all of the window.
                let path = if nth == 0 { "/large" } else { "/hi" };
                (path, peer.begin(request("GET", path), true).unwrap().0)
            })
            .collect();
        for (path, response) in begun {
            let answer = peer.end(response).unwrap();
            let expected = if path == "/hi" { &b"hi"[..] } else { &large };
            assert!((answer.status, &answer.content[..]) == (200, expected), "{path}: {}", answer.status);
        }
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    let state = rig.member_state(0);
    assert_eq!(state.errors(), 0);
    let connections = state.total_connections();
    // All were answered, some after nginx had left them to another connection.
    let least = 800 / ENOUGH as u64;
    assert!((least..=4 * least).contains(&connections), "{connections} for {} requests", state.requests());
}
