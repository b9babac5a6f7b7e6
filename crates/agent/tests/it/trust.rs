//! Who may command an agent, and that it proves who it is.

use octavia_wire::{AgentFault, Papers, PapersReport, files, paths};

use crate::amphora::{Amphora, CONTROLLER, KEY};
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

fn papers(fence: u64, mark: &str, server_cert: String, client_ca: &str, key: &str) -> Papers {
    Papers {
        fence,
        mark: mark.to_owned(),
        server_cert,
        client_ca: client_ca.to_owned(),
        heartbeat_key: key.to_owned(),
    }
}

/// As this agent's papers change, what they are told by, and the words of a refusal.
fn bring(amphora: &Amphora, papers: &Papers) -> Result<PapersReport, (u16, String)> {
    let (status, body) = amphora.request("PUT", paths::PAPERS, &serde_json::to_vec(papers).unwrap());
    if status == 200 {
        return Ok(serde_json::from_slice(&body).unwrap());
    }
    Err((status, serde_json::from_slice::<AgentFault>(&body).unwrap().error))
}

#[test]
fn papers_lead_from_one_authority_and_key_to_the_next() {
    let mut amphora = Amphora::start();
    let (id, old, new) = (amphora.id.to_string(), amphora.authority.pem.clone(), Authority::new());
    let both = format!("{}{old}", new.pem);
    let client = |of: &Authority| Authority::client_of(&both, Some(&of.issue(CONTROLLER)));
    let ask = |amphora: &Amphora, of: &Authority| {
        let head = format!("GET {} HTTP/1.1", paths::INFO);
        request(&client(of), &id, amphora.api(), &head, b"").map(|(status, _)| status)
    };
    amphora.set_tls(client(&amphora.authority));
    assert_eq!(amphora.info().papers, Some(PapersReport::default()), "as it was born");
    ask(&amphora, &new).expect_err("not yet");

    // From here on either is believed.
    let first = papers(7, "both", new.issue(&id), &both, "another key");
    assert_eq!(bring(&amphora, &first), Ok(PapersReport { fence: 7, mark: "both".to_owned() }));
    assert_eq!((ask(&amphora, &new).unwrap(), ask(&amphora, &amphora.authority).unwrap()), (200, 200));
    amphora.key = "another key".to_owned();
    amphora.forget_heartbeats();
    amphora.heartbeat("a beat under the new key", |_| true);
    let late = papers(6, "late", amphora.authority.issue(&id), &old, KEY);
    assert_eq!(bring(&amphora, &late).unwrap_err().0, 409, "of a worker that is late");

    amphora.kill_agent();
    amphora.start_agent();
    assert_eq!(amphora.info().papers, Some(PapersReport { fence: 7, mark: "both".to_owned() }));
    amphora.forget_heartbeats();
    amphora.heartbeat("a beat under the new key, after a restart", |_| true);

    amphora.set_tls(client(&new));
    let last = papers(7, "new", new.issue(&id), &new.pem, "another key");
    assert_eq!(bring(&amphora, &last).unwrap().mark, "new");
    assert_eq!(ask(&amphora, &new).unwrap(), 200);
    ask(&amphora, &amphora.authority).expect_err("no longer");
    let left = std::fs::read_dir(amphora.dir()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.map(|name| name.into_string().unwrap()).all(|name| !name.ends_with(".new")));
}

/// Nothing that would lock controllers out is taken, nor anything by half.
#[test]
fn papers_that_are_not_in_order_change_nothing() {
    let amphora = Amphora::start();
    let (id, pem, ours) = (amphora.id.to_string(), &amphora.authority.pem, &amphora.authority);
    let stranger = Authority::new();
    let other = octavia_model::AmphoraId::new_v4().to_string();
    let of_another_key = {
        let (one, two) = (ours.issue(&id), ours.issue(&id));
        let at = |pem: &str| pem.find("-----BEGIN PRIVATE").unwrap();
        one[..at(&one)].to_owned() + &two[at(&two)..]
    };
    let directory = || {
        let names = ["server.pem", "client_ca.pem", "boot.json"];
        names.map(|name| std::fs::read(amphora.file(name)).unwrap())
    };
    let before = directory();
    for (what, cert, authority, words) in [
        ("no certificate", String::new(), pem.as_str(), "not in order"),
        ("another's", ours.issue(&other), pem, "not valid for"),
        ("a key of another certificate", of_another_key, pem, "not in order"),
        ("no authority", ours.issue(&id), "", "no client could be believed"),
        ("a strange authority", ours.issue(&id), &stranger.pem, "would not be believed"),
    ] {
        let (status, error) = bring(&amphora, &papers(7, "bad", cert, authority, KEY)).expect_err(what);
        assert_eq!(status, 400, "{what}: {error}");
        assert!(error.contains(words), "{what}: {error}");
        assert_eq!(directory(), before, "{what}");
    }
    // What cannot be stored is not used, either.
    let aside = amphora.file("client_ca.pem.new");
    std::fs::create_dir(&aside).unwrap();
    let good = papers(7, "good", ours.issue(&id), pem, "another key");
    assert_eq!(bring(&amphora, &good).unwrap_err().0, 500);
    assert_eq!(directory(), before);
    amphora.heartbeat("a beat under the key of before", |_| true);
    std::fs::remove_dir(aside).unwrap();
    assert_eq!(bring(&amphora, &good).unwrap().mark, "good");
    let log = std::fs::read_to_string(amphora.file(files::PROXY_LOG)).unwrap_or_default()
        + &std::fs::read_to_string(amphora.file("agent.log")).unwrap_or_default();
    assert!(!log.contains("another key") && !log.contains("PRIVATE"), "{log}");
}
