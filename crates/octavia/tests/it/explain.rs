//! `octavia explain` with a spec in a file: what it says of requests, and of mistakes.

use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

const REJECTS: &str = "00000000-0000-0000-0000-0000000000a1";
const REDIRECTS: &str = "00000000-0000-0000-0000-0000000000a2";
const POOL: &str = "00000000-0000-0000-0000-0000000000b1";
const FIRST: &str = "00000000-0000-0000-0000-0000000000c1";
const SECOND: &str = "00000000-0000-0000-0000-0000000000c2";

fn listener(id: &str, protocol: &str, port: u16, pool: Value, policies: Value) -> Value {
    json!({
        "id": format!("00000000-0000-0000-0000-0000000000{id}"), "protocol": protocol, "port": port,
        "connection_limit": null, "default_pool": pool, "insert_headers": [],
        "timeouts": { "client_data": 0, "member_connect": 0, "member_data": 0, "tcp_inspect": 0 },
        "allowed_cidrs": ["127.0.0.0/8"], "l7policies": policies,
    })
}

fn spec() -> Value {
    let rule = |kind, compare, value| json!({ "kind": kind, "compare_type": compare, "key": null, "value": value, "invert": false });
    let member = |id: &str, last: u8| json!({ "id": id, "address": format!("127.0.0.{last}"), "port": 8080, "weight": 1, "backup": false, "enabled": true });
    let policies = json!([
        { "id": REJECTS, "action": "Reject", "rules": [rule("PATH", "STARTS_WITH", "/private")] },
        { "id": REDIRECTS, "action": { "RedirectPrefix": { "prefix": "https://new.test", "code": 301 } },
          "rules": [rule("HOST_NAME", "EQUAL_TO", "old.test")] },
    ]);
    json!({
        "version": octavia_wire::WIRE_VERSION, "amphora_id": FIRST, "load_balancer_id": FIRST, "generation": 1,
        "fence": 1, "vips": ["127.0.0.9"],
        "listeners": [
            listener("d1", "HTTP", 80, json!(POOL), policies),
            listener("d2", "TCP", 5000, json!(POOL), json!([])),
            listener("d3", "HTTP", 81, Value::Null, json!([])),
            listener("d4", "PROMETHEUS", 9100, Value::Null, json!([])),
        ],
        "pools": [{
            "id": POOL, "protocol": "HTTP", "algorithm": "ROUND_ROBIN", "persistence": null,
            "members": [member(FIRST, 2), member(SECOND, 3)], "monitor": null,
        }],
    })
}

#[test]
fn requests_are_explained() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("spec.json"), spec().to_string())?;
    for (arguments, succeeds, expected) in [
        (&["http://one.test/"][..], true, &["by turns and weight", REJECTS, REDIRECTS, FIRST, SECOND][..]),
        (&["http://one.test/private/x"], true, &["answered 403", "PATH STARTS_WITH \"/private\": holds"]),
        // As typed, not as a browser would send it.
        (&["http://one.test/private/../x"], true, &["answered 403"]),
        (&["http://one.test/./private#x"], true, &["by turns"]),
        (&["http://one.test?private"], true, &["by turns"]),
        (&["http://one.test/a b"], false, &["%20"]),
        (&["ftp://one.test:80/"], false, &["the listener at port 80 is asked with http://"]),
        (&["https://one.test:81/"], false, &["asked with http://"]),
        (&["http://old.test/a?b=c"], true, &["answered 301", "https://new.test/a?b=c", "does not take it"]),
        (&["-H", "host: old.test", "http://one.test/a"], true, &["answered 301"]),
        (&["--down", FIRST, "http://one.test/"], true, &[SECOND, ": down", "no other can take it"]),
        (&["--down", FIRST, "--down", SECOND, "http://one.test/"], true, &["answered 503"]),
        (&["--client", "192.0.2.1", "http://one.test/"], true, &["closed: allowed_cidrs"]),
        (&["-X", "CONNECT", "http://one.test/"], true, &["answered 4"]),
        (&["http://one.test:81/"], true, &["answered 503", "no pool"]),
        (&["http://one.test:9100/metrics"], true, &["(PROMETHEUS, port 9100)", "answered 200"]),
        (&["-X", "POST", "http://one.test:9100/"], true, &["answered 405"]),
        (&["tcp://one.test:5000"], true, &["(TCP, port 5000)", "by turns"]),
        (&["--client", "127.0.0.1:99", "tcp://one.test:5000"], true, &["by turns"]),
        (&["https://one.test/"], false, &["no listener has port 443", "at port 81"]),
        (&["--down", POOL, "http://one.test/"], false, &["no pool of the spec has the member"]),
        (&["--listener", FIRST, "http://one.test/"], false, &["no listener"]),
        (&["-H", "a: b\r\nc: d", "http://one.test/"], false, &["line break"]),
        (&["--client", "nobody", "http://one.test/"], false, &["neither an address"]),
        (&["one.test"], false, &["relative URL"]),
    ] {
        let command = &mut Command::new(env!("CARGO_BIN_EXE_octavia"));
        let output = command.arg("explain").arg("--spec").arg(dir.path()).args(arguments).output()?;
        let text =
            String::from_utf8_lossy(if succeeds { &output.stdout } else { &output.stderr }).into_owned();
        assert_eq!(output.status.success(), succeeds, "{arguments:?}: {output:?}");
        for part in expected {
            assert!(text.contains(part), "{arguments:?}: {part:?} is not in\n{text}");
        }
    }
    Ok(())
}
