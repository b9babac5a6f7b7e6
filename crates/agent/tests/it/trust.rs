//! Who may command an agent, and that it proves who it is.

use octavia_wire::paths;

use crate::amphora::{Amphora, CONTROLLER};
use crate::certs::{Authority, request};

#[test]
fn only_a_controller_of_our_authority_is_heard() {
    let amphora = Amphora::start();
    let stranger = Authority::new();
    let ours = &amphora.authority;
    let head = format!("GET {} HTTP/1.1", paths::INFO);
    let ask = |identity: Option<&str>| {
        request(&ours.client(identity), &amphora.id.to_string(), amphora.api(), &head, b"")
    };
    assert_eq!(ask(Some(&ours.issue(CONTROLLER))).unwrap().0, 200);
    for (who, identity) in [
        ("nobody", None),
        ("an amphora", Some(ours.issue(&amphora.id.to_string()))),
        ("a name like it", Some(ours.issue("octavia-controller.example"))),
        ("another authority's controller", Some(stranger.issue(CONTROLLER))),
    ] {
        let error = ask(identity.as_deref()).expect_err(who).to_string();
        assert!(error.contains("alert"), "told why, not just cut: {who}: {error}");
    }
    assert_eq!(ask(Some(&ours.issue(CONTROLLER))).unwrap().0, 200, "and still heard");
}

#[test]
fn the_agent_proves_its_name_with_the_newest_certificate() {
    let amphora = Amphora::start();
    let head = format!("GET {} HTTP/1.1", paths::INFO);
    let tls = amphora.authority.client(Some(&amphora.authority.issue(CONTROLLER)));
    let ask = |name: &str| request(&tls, name, amphora.api(), &head, b"");
    let (id, other) = (amphora.id.to_string(), octavia_model::AmphoraId::new_v4().to_string());
    assert_eq!(ask(&id).unwrap().0, 200);
    ask(&other).expect_err("not its name");
    // Renewed: taken without a restart.
    std::fs::write(amphora.file("server.pem"), amphora.authority.issue(&other)).unwrap();
    let fresh = amphora.authority.client(Some(&amphora.authority.issue(CONTROLLER)));
    assert_eq!(request(&fresh, &other, amphora.api(), &head, b"").unwrap().0, 200);
    request(&fresh, &id, amphora.api(), &head, b"").expect_err("not its name any more");
    // Broken: nobody is served, and the agent lives.
    std::fs::write(amphora.file("server.pem"), "nonsense").unwrap();
    request(&fresh, &other, amphora.api(), &head, b"").expect_err("no certificate");
    std::fs::write(amphora.file("server.pem"), amphora.authority.issue(&id)).unwrap();
    assert_eq!(amphora.info().amphora_id, amphora.id);
}

#[test]
fn garbage_is_no_handshake() {
    use std::io::{Read, Write};

    let amphora = Amphora::start();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 1000], &[0x16, 3, 1, 0xff, 0xff], b""] {
        let mut stream = std::net::TcpStream::connect(amphora.api()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = vec![];
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"));
    }
    assert_eq!(amphora.info().amphora_id, amphora.id);
}

#[test]
fn another_authority_takes_over_without_a_restart() {
    let amphora = Amphora::start();
    let next = Authority::new();
    let (old_client, new_client) = (
        amphora.authority.client(Some(&amphora.authority.issue(CONTROLLER))),
        next.client(Some(&next.issue(CONTROLLER))),
    );
    let head = format!("GET {} HTTP/1.1", paths::INFO);
    let ask = |client| request(client, &amphora.id.to_string(), amphora.api(), &head, b"");
    assert_eq!(ask(&old_client).unwrap().0, 200);
    ask(&new_client).expect_err("not yet");
    // One file after the other, as whoever renews them does: in between nobody has to be served.
    std::fs::write(amphora.file("server.pem"), next.issue(&amphora.id.to_string())).unwrap();
    ask(&old_client).expect_err("half way");
    ask(&new_client).expect_err("half way");
    std::fs::write(amphora.file("client_ca.pem"), &next.pem).unwrap();
    assert_eq!(ask(&new_client).unwrap().0, 200);
    // Nor by a session that is remembered.
    ask(&old_client).expect_err("no longer");
}
