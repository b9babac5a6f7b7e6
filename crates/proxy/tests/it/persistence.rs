//! Session persistence: who comes back to which member, and what of it members and clients see.

use std::sync::{Arc, Mutex};

use octavia_model::{Algorithm, ListenerProtocol};
use octavia_proxy::Health;
use octavia_wire::{L7ActionSpec, PersistenceSpec};

use crate::layer7::{policy, pool};
use crate::rig::{Client, Message, Origin, Rig, ok};

const SOURCE_IP: PersistenceSpec = PersistenceSpec::SourceIp { granularity: None, timeout: 0 };

fn app(name: &str) -> PersistenceSpec {
    PersistenceSpec::AppCookie { name: name.to_owned() }
}

/// Members `0`, `1`, …, that say which they are.
fn origins(count: usize) -> Vec<Origin> {
    (0..count).map(|n| Origin::says(&n.to_string())).collect()
}

fn rig(protocol: ListenerProtocol, origins: &[Origin], persistence: PersistenceSpec) -> Rig {
    let members: Vec<_> = origins.iter().collect();
    Rig::start(protocol, &members, |spec| spec.pools[0].persistence = Some(persistence))
}

fn ask(rig: &Rig, lines: &str) -> Message {
    let mut client = rig.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"));
    client.answer()
}

/// A client from another address of loopback.
fn from(rig: &Rig, host: u8) -> Client {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 1, host], 0)).into()).unwrap();
    socket.connect(&rig.address.into()).unwrap();
    Client::of(socket.into())
}

fn ask_from(rig: &Rig, host: u8) -> String {
    let mut client = from(rig, host);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.answer().text().to_owned()
}

#[test]
fn an_address_comes_back() {
    let origins = origins(3);
    let mut rig = rig(ListenerProtocol::Http, &origins, SOURCE_IP);
    let first: Vec<_> = (1..=6).map(|host| ask_from(&rig, host)).collect();
    assert_eq!(first, ["0", "1", "2", "0", "1", "2"], "who is new is balanced");
    for _ in 0..3 {
        let again: Vec<_> = (1..=6).map(|host| ask_from(&rig, host)).collect();
        assert_eq!(again, first);
    }
    // Down: another one, and that one from now on.
    rig.member_state(0).set_health(Health::Down);
    let moved = ask_from(&rig, 1);
    assert_ne!(moved, "0");
    rig.member_state(0).set_health(Health::Up);
    assert_eq!(ask_from(&rig, 1), moved);
    assert_eq!(ask_from(&rig, 4), "0", "who was not there meanwhile is where it was");
    // Drained: who is there stays, nobody comes.
    rig.members()[1].weight = 0;
    rig.reconfigure();
    assert_eq!([ask_from(&rig, 2), ask_from(&rig, 5)], ["1", "1"]);
    assert!((10..16).all(|host| ask_from(&rig, host) != "1"));
    // In maintenance, or gone: nobody is there.
    rig.members()[1].enabled = false;
    rig.reconfigure();
    assert_ne!(ask_from(&rig, 2), "1");
    let gone = rig.members().remove(2);
    rig.reconfigure();
    assert_ne!(ask_from(&rig, 3), "2");
    assert_eq!(ask_from(&rig, 4), "0");
    // It is back, at another place.
    rig.members().insert(0, gone);
    rig.reconfigure();
    assert_eq!(ask_from(&rig, 6), "2");
    // Another granularity is another table; so is none.
    let network = "255.255.255.0".parse().ok();
    rig.spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity: network, timeout: 5 });
    rig.reconfigure();
    let shared = ask_from(&rig, 1);
    assert!((2..9).all(|host| ask_from(&rig, host) == shared));
    rig.spec.pools[0].persistence = None;
    rig.reconfigure();
    let spread: std::collections::HashSet<_> = (0..4).map(|_| ask_from(&rig, 1)).collect();
    assert!(spread.len() > 1);
}

#[test]
fn an_address_comes_back_over_tcp() {
    let origins: Vec<_> = (0..3)
        .map(|n| {
            Origin::start(move |mut client| {
                client.send(n.to_string());
                client.take_all();
            })
        })
        .collect();
    let mut rig = rig(ListenerProtocol::Tcp, &origins, SOURCE_IP);
    let asked = |rig: &Rig, host| String::from_utf8(from(rig, host).take(1)).unwrap();
    let first: Vec<_> = (1..=6).map(|host| asked(&rig, host)).collect();
    assert_eq!(first, ["0", "1", "2", "0", "1", "2"]);
    assert_eq!((1..=6).map(|host| asked(&rig, host)).collect::<Vec<_>>(), first);
    // One that nobody has found down yet: the next takes its clients, and keeps them.
    origins[1].kill();
    let moved = asked(&rig, 2);
    assert_ne!(moved, "1");
    assert_eq!(asked(&rig, 2), moved);
    // Cookies are not seen here: as if there was nothing.
    for persistence in [PersistenceSpec::HttpCookie, app("sid")] {
        rig.spec.pools[0].persistence = Some(persistence);
        rig.reconfigure();
        assert_ne!(asked(&rig, 1), asked(&rig, 1));
    }
}

#[test]
fn all_who_come_at_once_from_one_address_meet() {
    let origins = origins(4);
    let rig = rig(ListenerProtocol::Http, &origins, SOURCE_IP);
    let answers = Arc::new(Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let answer = ask_from(&rig, 1);
                    answers.lock().unwrap().push(answer);
                }
            });
        }
    });
    let last = ask_from(&rig, 1);
    // Those that were there at the very first may have been spread.
    let others = answers.lock().unwrap().iter().filter(|answer| **answer != last).count();
    assert!(others <= 8, "{others}");
}

#[test]
fn a_cookie_of_ours() {
    let seen = Arc::new(Mutex::new(String::new()));
    let origins: Vec<_> = (0..3)
        .map(|n| {
            let seen = Arc::clone(&seen);
            Origin::http(move |request| {
                *seen.lock().unwrap() = request.header("cookie").unwrap_or("-").to_owned();
                ok(n.to_string())
            })
        })
        .collect();
    let mut rig = rig(ListenerProtocol::Http, &origins, PersistenceSpec::HttpCookie);
    let ids: Vec<_> = rig.members().iter().map(|member| member.id.to_string()).collect();
    let first = ask(&rig, "");
    assert_eq!((first.text(), &seen.lock().unwrap()[..]), ("0", "-"));
    assert_eq!(first.header("set-cookie").unwrap(), format!("SRV={}; path=/", ids[0]));
    assert_eq!(first.header("cache-control"), None, "no cache would keep it anyway");
    for (cookies, text, set, others) in [
        (format!("SRV={}", ids[1]), "1", None, "-"),
        (format!("SRV={}", ids[1]), "1", None, "-"),
        (format!("a=b; SRV={}", ids[2]), "2", None, "a=b"),
        (format!("SRV={};a=b", ids[2]), "2", None, "a=b"),
        (format!("a=b;  SRV = {} ; c=d", ids[2]), "2", None, "a=b; c=d"),
        (format!("SRV={}; SRV={}", ids[2], ids[1]), "2", None, "-"),
        (format!("SRV=x; SRV={}", ids[1]), "1", None, "-"),
        // What names nobody is replaced: it is the turn of 1.
        ("SRV=".to_owned(), "1", Some(1), "-"),
        (format!("SRV={}", ids[0].to_uppercase()), "2", Some(2), "-"),
        (format!("srv={}", ids[2]), "0", Some(0), &format!("srv={}", ids[2])),
        (format!("XSRV={0}; SRVX={0}", ids[2]), "1", Some(1), &format!("XSRV={0}; SRVX={0}", ids[2])),
        ("SRV=00000000-0000-0000-0000-000000000000; a".to_owned(), "2", Some(2), "a"),
    ] {
        let answer = ask(&rig, &format!("Cookie: {cookies}\r\n"));
        assert_eq!(answer.text(), text, "{cookies}");
        let set = set.map(|n: usize| format!("SRV={}; path=/", ids[n]));
        assert_eq!(answer.header("set-cookie"), set.as_deref(), "{cookies}");
        assert_eq!(*seen.lock().unwrap(), others, "{cookies}");
    }
    let cookie = |n: usize| format!("Cookie: SRV={}\r\n", ids[n]);
    // Drained, it keeps its clients.
    rig.members()[2].weight = 0;
    rig.reconfigure();
    assert_eq!((ask(&rig, &cookie(2)).text(), ask(&rig, &cookie(2)).header("set-cookie")), ("2", None));
    // Down, or not answering: another, and the client is told.
    rig.member_state(2).set_health(Health::Down);
    let moved = ask(&rig, &cookie(2));
    let to: usize = moved.text().parse().unwrap();
    assert_eq!(moved.header("set-cookie").unwrap(), format!("SRV={}; path=/", ids[to]));
    let dead = Origin::dead();
    rig.members()[0].port = dead.address.port();
    rig.reconfigure();
    let moved = ask(&rig, &cookie(0));
    assert_eq!(
        (moved.text(), moved.header("set-cookie")),
        ("1", Some(&format!("SRV={}; path=/", ids[1])[..]))
    );
}

#[test]
fn a_cookie_of_ours_on_one_connection() {
    let origins = origins(2);
    let rig = rig(ListenerProtocol::Http, &origins, PersistenceSpec::HttpCookie);
    let mut client = rig.client();
    let mut ask = |cookie: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n"));
        let answer = client.answer();
        let cookie = answer.header("set-cookie").and_then(|set| set.split(';').next()).map(str::to_owned);
        (answer.text().to_owned(), cookie)
    };
    let (first, cookie) = ask("");
    let cookie = format!("Cookie: {}\r\n", cookie.unwrap());
    assert_ne!(ask("").0, first);
    for _ in 0..5 {
        assert_eq!(ask(&cookie), (first.clone(), None));
    }
}

#[test]
fn caches_do_not_hand_out_cookies_of_ours() {
    // What a member says, and whether it is kept from caches.
    let answer = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&answer);
    let origin = Origin::http(move |_| said.lock().unwrap().clone().into_bytes());
    let origins = [origin];
    let rig = rig(ListenerProtocol::Http, &origins, PersistenceSpec::HttpCookie);
    for (head, expected) in [
        ("200 OK\r\nETag: x", "private"),
        ("200 OK\r\nCache-Control: max-age=5", "max-age=5,private"),
        ("200 OK\r\nCache-Control: max-age=0, s-maxage=7", "max-age=0, s-maxage=7,private"),
        ("200 OK\r\nCache-Control: no-store", "no-store"),
        ("200 OK", ""),
        ("404 Not Found\r\nExpires: tomorrow", "private"),
        ("500 Oh\r\nETag: x", ""),
    ] {
        *answer.lock().unwrap() =
            format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nSet-Cookie: SRV=mine\r\n\r\n");
        let got = ask(&rig, "");
        let values = |name: &str| {
            let lines = got.head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect::<Vec<_>>().join(",")
        };
        assert_eq!(values("cache-control"), expected, "{head}");
        assert!(values("set-cookie").len() == 48, "one, of ours: {}", got.head);
    }
}

#[test]
fn a_cookie_of_the_application() {
    // Each member sets a session of its own when it is told to log in.
    let origins: Vec<_> = (0..3)
        .map(|n| {
            Origin::http(move |request| {
                let set = match request.head.split(' ').nth(1).unwrap().strip_prefix("/login/") {
                    Some(user) => {
                        format!("Set-Cookie: other=x\r\nSet-Cookie: sid={user}; Path=/; HttpOnly\r\n")
                    }
                    None => String::new(),
                };
                let cookie = request.header("cookie").unwrap_or("-");
                let body = format!("{n} {cookie}");
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{set}\r\n{body}", body.len()).into_bytes()
            })
        })
        .collect();
    let mut rig = rig(ListenerProtocol::Http, &origins, app("sid"));
    let get = |rig: &Rig, path: &str, cookie: &str| {
        let mut client = rig.client();
        let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookie}\r\n"));
        client.answer()
    };
    let users = ["ann", "bob", "cid"];
    for (n, user) in users.iter().enumerate() {
        let login = get(&rig, &format!("/login/{user}"), "");
        assert_eq!(login.text(), format!("{n} -"));
        assert!(
            login.head.contains(&format!("Set-Cookie: sid={user}; Path=/; HttpOnly")),
            "it is the client's"
        );
    }
    for (cookie, n) in [
        ("sid=ann", "0"),
        ("sid=cid", "2"),
        ("a=b; sid=bob; c=d", "1"),
        ("sid=ann; sid=bob", "1"),
        ("sid=\"x;y\", sid=cid", "2"),
    ] {
        for _ in 0..2 {
            assert_eq!(get(&rig, "/", cookie).text(), format!("{n} {cookie}"));
        }
    }
    // Who is not known is balanced, and nothing is learned of it.
    let unknown: std::collections::HashSet<_> =
        (0..6).map(|_| get(&rig, "/", "sid=eve; SID=ann").text().to_owned()).collect();
    assert_eq!(unknown.len(), 3);
    // It survives a change; a member that is down is passed over, and has its clients back when it is up.
    rig.spec.pools[0].algorithm = Algorithm::LeastConnections;
    rig.reconfigure();
    assert_eq!(get(&rig, "/", "sid=bob").text(), "1 sid=bob");
    rig.member_state(1).set_health(Health::Down);
    assert_ne!(get(&rig, "/", "sid=bob").text(), "1 sid=bob");
    rig.member_state(1).set_health(Health::Up);
    assert_eq!(get(&rig, "/", "sid=bob").text(), "1 sid=bob");
    // Another login at another member moves the session.
    rig.members()[1].weight = 0;
    rig.reconfigure();
    let moved = get(&rig, "/login/bob", "").text()[..1].to_owned();
    assert_ne!(moved, "1");
    assert_eq!(get(&rig, "/", "sid=bob").text(), format!("{moved} sid=bob"));
    // Another name is another table.
    rig.spec.pools[0].persistence = Some(app("other"));
    rig.reconfigure();
    let spread: std::collections::HashSet<_> =
        (0..6).map(|_| get(&rig, "/", "sid=ann").text().to_owned()).collect();
    assert!(spread.len() > 1);
}

#[test]
fn pools_of_policies_have_their_own() {
    let (plain, sticky) = (origins(2), origins(2));
    let rig = Rig::start(ListenerProtocol::Http, &[&plain[0], &plain[1]], |spec| {
        let pool = pool(spec, &[&sticky[0], &sticky[1]]);
        spec.pools[1].persistence = Some(PersistenceSpec::HttpCookie);
        spec.listeners[0].l7policies = vec![policy("/s", L7ActionSpec::RedirectToPool(pool))];
    });
    let get = |path: &str, cookie: &str| {
        let mut client = rig.client();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{cookie}\r\n"));
        client.answer()
    };
    let set = get("/s", "").header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = format!("Cookie: {set}\r\n");
    let first = get("/s", &cookie).text().to_owned();
    assert!((0..4).all(|_| get("/s", &cookie).text() == first));
    let other = get("/", &cookie);
    assert_eq!(other.header("set-cookie"), None);
    assert_ne!(get("/", &cookie).text(), other.text());
}
