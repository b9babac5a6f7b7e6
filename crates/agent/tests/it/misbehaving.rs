//! What the agent makes of a proxy that fails at each stage: it is kept if it can be, and the spec comes into force.

use octavia_wire::{AmphoraSpec, files};

use crate::amphora::{Amphora, eventually};
use crate::fake::SCRIPT;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proxy {
    Kept,
    Replaced,
}

/// Pushes a spec while the script is played; `status` is the push's, and then the spec is in force in any case.
#[track_caller]
fn check(script: &str, status: u16, proxy: Proxy) {
    let mut amphora = Amphora::prepare();
    std::fs::write(amphora.file(SCRIPT), "").unwrap();
    amphora.start_agent();
    let first = amphora.spec(amphora.free_port(), &[]);
    amphora.push(&first).unwrap();
    let boot = amphora.info().boot;
    assert!(boot.is_some());
    std::fs::write(amphora.file(SCRIPT), format!("{}\n", script.replace(", ", "\n"))).unwrap();
    let mut next = AmphoraSpec { generation: 2, ..first };
    next.listeners.push(crate::spec::listener(amphora.free_port(), next.pools[0].id));
    let pushed = amphora.push(&next).map_or_else(|fault| fault.http_code, |_| 200);
    assert_eq!(pushed, status, "{script}");
    let info = eventually("the script is played and the spec is in force", || {
        let played = std::fs::read_to_string(amphora.file(SCRIPT)).unwrap().is_empty();
        let info = amphora.info();
        (played && info.generation == 2 && info.boot.is_some()).then_some(info)
    });
    let is = if info.boot == boot { Proxy::Kept } else { Proxy::Replaced };
    assert_eq!(is, proxy, "{script}");
    assert_eq!(amphora.push(&AmphoraSpec { generation: 3, ..next }).unwrap().faults, []);
    assert_eq!(amphora.info().boot, info.boot, "{script}");
}

#[test]
fn one_that_fails_once_is_kept_unless_it_dies() {
    use Proxy::{Kept, Replaced};
    for (script, proxy) in [
        ("configure hang-up", Kept),
        ("configure forget", Kept),
        ("configure half", Kept),
        ("configure rave", Kept),
        ("configure boast", Kept),
        ("configure mistake", Kept),
        ("configure twice", Kept),
        ("report hang-up", Kept),
        ("report half", Kept),
        ("report rave", Kept),
        ("report mistake", Kept),
        ("report twice", Kept),
        ("configure hang-up, hello hang-up, hello half, hello rave", Kept),
        ("configure hang-up, hello mistake", Kept),
        ("configure die", Replaced),
        ("configure late", Replaced),
        ("report die", Replaced),
        ("configure hang-up, hello die", Replaced),
    ] {
        check(script, 200, proxy);
    }
}

#[test]
fn one_that_fails_again_is_kept_for_a_while() {
    let twice = "configure hang-up, configure hang-up";
    check(twice, 503, Proxy::Kept);
    check(&format!("{twice}, {twice}"), 503, Proxy::Replaced);
}

#[test]
fn one_that_is_silent_is_replaced() {
    check("configure silence", 200, Proxy::Replaced);
}

#[test]
fn one_that_is_silent_when_its_line_broke_is_replaced() {
    check("configure hang-up, hello silence", 200, Proxy::Replaced);
}

#[test]
fn a_spec_it_refuses_gives_way_to_the_one_before() {
    let mut amphora = Amphora::prepare();
    std::fs::write(amphora.file(SCRIPT), "").unwrap();
    amphora.start_agent();
    let first = amphora.spec(amphora.free_port(), &[]);
    std::fs::write(amphora.file(SCRIPT), "configure refuse\n").unwrap();
    assert_eq!(amphora.push(&first).unwrap_err().http_code, 400);
    assert!(!amphora.file(files::SPEC).exists());
    amphora.push(&first).unwrap();
    std::fs::write(amphora.file(SCRIPT), "configure refuse\n").unwrap();
    let second = AmphoraSpec { generation: 2, ..first.clone() };
    assert_eq!(amphora.push(&second).unwrap_err().http_code, 400);
    let stored: AmphoraSpec =
        serde_json::from_slice(&std::fs::read(amphora.file(files::SPEC)).unwrap()).unwrap();
    assert_eq!(stored, first);
    assert_eq!(amphora.info().generation, 1);
}

#[test]
fn an_agent_that_starts_keeps_a_living_proxy_that_hangs_up_at_first() {
    let mut amphora = Amphora::prepare();
    std::fs::write(amphora.file(SCRIPT), "").unwrap();
    amphora.start_agent();
    amphora.push(&amphora.spec(amphora.free_port(), &[])).unwrap();
    let boot = amphora.info().boot;
    amphora.kill_agent();
    std::fs::write(amphora.file(SCRIPT), "hello hang-up\nhello rave\nhello mistake\n").unwrap();
    amphora.start_agent();
    let info = eventually("the proxy is found", || Some(amphora.info()).filter(|info| info.boot.is_some()));
    assert_eq!((info.boot, info.generation), (boot, 1));
}
