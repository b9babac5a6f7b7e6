//! The same cookies before the same members: the same members, and the same cookies on both sides.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use octavia_model::ListenerProtocol;
use octavia_wire::PersistenceSpec;

use super::HaProxy;
use crate::rig::{Client, Message, Origin, Rig, ok};

/// What cookies are made of; `M` and `N` stand for ids of members.
const OURS: &[&str] = &[
    "SRV=M",
    "SRV=N",
    "SRV=N",
    "SRV=x",
    "SRV=",
    "SRV",
    "srv=M",
    "SRV=\"M\"",
    "SRVX=M",
    "a=b",
    "c=",
    "d",
    "$Path=/",
    "; ",
    "; ",
    "; ",
    ";",
    ";",
    ", ",
    ",",
    "\"",
    "\\",
];
const THEIRS: &[&str] = &[
    "sid=s",
    "sid=s",
    "sid=t",
    "sid=",
    "sid=\"s\"",
    "sid",
    "SID=s",
    "a=b",
    "$Path=/",
    "; ",
    "; ",
    "; ",
    ";",
    ";",
    ", ",
    "\"",
];

/// Headers by a chance that is always the same.
fn headers(pieces: &'static [&str], count: usize) -> impl Iterator<Item = String> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let fixed =
        ["SRV=N", "a=b; SRV=M; c=d", "SRV=x; SRV=N", "SRV=M; SRV=N", "sid=s", "sid=t; sid=s", "a=\"sid=s"];
    let random = (0..count).map(move |_| (0..1 + below(9)).map(|_| pieces[below(pieces.len())]).collect());
    fixed.into_iter().map(str::to_owned).chain(random)
}

/// Two who are asked the same, over connections that are kept.
struct Both([(SocketAddr, Client); 2]);

impl Both {
    fn connect(addresses: [SocketAddr; 2]) -> Self {
        Self(addresses.map(|address| (address, Client::connect(address))))
    }

    fn ask(&mut self, request: &str, lines: &str) -> [Message; 2] {
        self.ask_for(true, request, lines)
    }

    fn ask_for(&mut self, content: bool, request: &str, lines: &str) -> [Message; 2] {
        self.0.each_mut().map(|(address, client)| {
            client.send(format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n{lines}\r\n"));
            let answer = client.message(content).unwrap();
            if answer.header("connection") == Some("close") {
                *client = Client::connect(*address);
            }
            answer
        })
    }
}

/// A header of cookies that one was taken out of; `-` = there is none.
fn plain(cookies: &str) -> String {
    let marks: String =
        cookies.chars().filter(|c| *c != ' ').map(|c| if c == ',' { ';' } else { c }).collect();
    marks.split(';').filter(|cookie| !cookie.is_empty() && *cookie != "-").collect::<Vec<_>>().join(";")
}

#[test]
fn cookies_of_ours_are_the_same() {
    // Members tell their number, and which cookies they see.
    let head = Arc::new(Mutex::new(String::new()));
    let origins: Vec<_> = (0..3)
        .map(|n| {
            let head = Arc::clone(&head);
            Origin::http(move |request| {
                let body = format!("{n}{}", request.header("cookie").unwrap_or("-"));
                let head = head.lock().unwrap();
                // What has no content has a length nevertheless, so that everybody knows where it ends.
                let body = if head.starts_with("204") { String::new() } else { body };
                format!("HTTP/1.1 {head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
            })
        })
        .collect();
    let members: Vec<_> = origins.iter().collect();
    let mut rig = Rig::start(ListenerProtocol::Http, &members, |spec| {
        spec.pools[0].persistence = Some(PersistenceSpec::HttpCookie);
    });
    let ids: Vec<_> = rig.members().iter().map(|member| member.id.to_string()).collect();
    let Some(haproxy) = HaProxy::beside(&rig) else { return };
    *head.lock().unwrap() = "200 OK\r\nETag: x\r\n".to_owned();
    let mut both = Both::connect([rig.address, haproxy.address]);
    let mut granted = 0;
    for header in headers(OURS, 600) {
        let lines = format!("Cookie: {}\r\n", header.replace('M', &ids[1]).replace('N', &ids[2]));
        let [ours, theirs] = both.ask("GET /", &lines);
        // Who is not known is balanced, and told: where to is chance.
        let known =
            |answer: &Message| answer.header("set-cookie").is_none().then(|| answer.text()[..1].to_owned());
        assert_eq!(known(&ours), known(&theirs), "{lines}");
        granted += usize::from(known(&ours).is_some());
        for answer in [&ours, &theirs] {
            let to: usize = answer.text()[..1].parse().unwrap();
            let told = format!("SRV={}; path=/", ids[to]);
            assert!(answer.header("set-cookie").is_none_or(|set| set == told), "{lines}");
        }
        let [ours, theirs] = [&ours.text()[1..], &theirs.text()[1..]];
        // How much of what separated them stays is chance.
        let same = if header.contains("SRV") { plain(ours) == plain(theirs) } else { ours == theirs };
        assert!(same, "{lines}: {ours} {theirs}");
    }
    assert!((60..500).contains(&granted), "{granted}");

    // What becomes of what members say.
    let mut private = 0;
    for status in ["200 OK", "204 No", "302 Found", "404 Not Found", "500 Oh"] {
        for caching in [
            "",
            "ETag: x",
            "Expires: x",
            "Last-Modified: x",
            "Cache-Control: public",
            "Cache-Control: public\r\nETag: x",
            "Cache-Control: max-age=1",
            "Cache-Control: max-age=0\r\nETag: x",
            // That `s-maxage` counts where `max-age` is 0, HAProxy 2.6 does not know.
            "Cache-Control: max-age=5, s-maxage=7",
            "Cache-Control: private, max-age=1",
            "Cache-Control: no-cache=\"set-cookie\", max-age=1",
            "Cache-Control: No-Store\r\nETag: x",
            "Pragma: no-cache\r\nETag: x",
            "Pragma: x\r\nETag: x",
        ] {
            for set in [
                "",
                "Set-Cookie: SRV=mine; Path=/x",
                "Set-Cookie: srv=mine\r\nSet-Cookie: SRV = x\r\nSet-Cookie: a=b",
            ] {
                let lines: String =
                    [caching, set].iter().filter(|l| !l.is_empty()).map(|l| format!("{l}\r\n")).collect();
                *head.lock().unwrap() = format!("{status}\r\n{lines}");
                for cookie in [String::new(), format!("Cookie: SRV={}\r\n", ids[1])] {
                    for method in ["GET", "POST"] {
                        let content = !status.starts_with("204");
                        let answers = both.ask_for(content, &format!("{method} /"), &cookie);
                        let answers = answers.map(|answer| essence(&answer));
                        assert_eq!(answers[0], answers[1], "{status} {lines} {cookie} {method}");
                        private += usize::from(
                            answers[0].contains("cache-control: private\n") && !lines.contains("private"),
                        );
                    }
                }
            }
        }
    }
    assert!(private > 20, "{private}");
}

/// The lines about cookies and caches, without the ids.
fn essence(answer: &Message) -> String {
    let lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    let mut lines: Vec<_> = lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| matches!(name.as_str(), "set-cookie" | "cache-control" | "pragma"))
        .map(|(name, value)| match value.strip_prefix("SRV=").filter(|value| value.len() > 36) {
            Some(_) => format!("{name}: ours\n"),
            None => format!("{name}: {value}\n"),
        })
        .collect();
    lines.sort();
    lines.concat()
}

#[test]
fn cookies_of_the_application_are_the_same() {
    let origins: Vec<_> = (0..3)
        .map(|n| {
            Origin::http(move |request| {
                let path = request.head.split(' ').nth(1).unwrap();
                match path.strip_prefix("/login/") {
                    Some(set) => {
                        let set = set.replace("%20", " ");
                        format!("HTTP/1.1 200 OK\r\nSet-Cookie: {set}\r\nContent-Length: 1\r\n\r\n{n}")
                            .into_bytes()
                    }
                    None => ok(n.to_string()),
                }
            })
        })
        .collect();
    let members: Vec<_> = origins.iter().collect();
    let rig = Rig::start(ListenerProtocol::Http, &members, |spec| {
        spec.pools[0].persistence = Some(PersistenceSpec::AppCookie { name: "sid".to_owned() });
    });
    let Some(haproxy) = HaProxy::beside(&rig) else { return };
    // Somebody else is at the member after; who is not known would be seen at both.
    let mut both = Both::connect([rig.address, haproxy.address]);
    let texts = |answers: [Message; 2]| answers.map(|answer| answer.text().to_owned());
    let homes = texts(both.ask("GET /login/sid=s;Path=/", ""));
    let others = texts(both.ask("GET /login/sid=t;%20Path=/", ""));
    assert!((0..2).all(|side| homes[side] != others[side]));
    let mut known = 0;
    // To HAProxy a cookie without a value is one, unless it is the last.
    let empty = |header: &String| ["sid=;", "sid=,"].iter().any(|end| header.contains(end));
    for header in headers(THEIRS, 300).filter(|header| !empty(header)) {
        let lines = format!("Cookie: {header}\r\n");
        // Of three who take turns no two in a row are the same.
        let seen = [0; 2].map(|_| texts(both.ask("GET /", &lines)));
        let stays = [0, 1].map(|side| {
            let stays = seen[0][side] == seen[1][side];
            stays.then(|| seen[0][side] == homes[side])
        });
        assert_eq!(stays[0], stays[1], "{lines}");
        known += usize::from(stays[0].is_some());
    }
    assert!((30..250).contains(&known), "{known}");
}
