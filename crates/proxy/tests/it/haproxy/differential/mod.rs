//! The same bytes to HAProxy and to us, in front of the same members, both configured from the same spec: what members and
//! clients get is the same, or a case says how it differs and why (`docs/differences.md`).
//!
//! Cases are data: `cases/*.txt`, a theme each. `UPDATE_CASES=1` writes what came of them there, to be read with
//! `git diff`; `UPDATE_DOCS=1` renews the page.

mod case;
mod link;
mod message;
mod page;
mod play;
mod stage;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use octavia_proxy::{Engine, Snapshot, listen};

use self::case::{Case, Outcomes, Theme};
use self::play::{Place, play};
use self::stage::Stage;
use super::HaProxy;

/// Cases under way at once, with each side.
const AT_ONCE: usize = 24;

/// A test a theme.
macro_rules! themes {
    ($($name:ident)*) => {
        const THEMES: &[&str] = &[$(stringify!($name)),*];
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

themes! {
    chunking
    cookies
    half_close
    headers
    interim
    keep_alive
    layer7
    persistence
    requests
    responses
    routing
    smuggling_chunks
    smuggling_lengths
    smuggling_lines
    smuggling_responses
    timeouts
    trailers
    tunnels
    upgrades
}

fn themes() -> Vec<Theme> {
    let dir = cases();
    THEMES.iter().map(|name| Theme::read(&dir.join(format!("{name}.txt")))).collect()
}

fn cases() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/haproxy/cases"))
}

/// Plays a theme on both sides.
fn check(name: &str) {
    let theme = Theme::read(&cases().join(format!("{name}.txt")));
    let (ours, haproxy) = std::thread::scope(|scope| {
        let haproxy = scope.spawn(|| on_haproxy(&theme));
        (on_ours(&theme), haproxy.join().unwrap())
    });
    if std::env::var_os("UPDATE_CASES").is_some() {
        let haproxy = haproxy.expect("HAProxy has to be installed for that");
        let outcomes = ours.into_iter().zip(haproxy).map(|(ours, haproxy)| Outcomes { ours, haproxy });
        theme.write(&outcomes.collect::<Vec<_>>());
        return;
    }
    let mut wrong = String::new();
    for (place, case) in theme.cases.iter().enumerate() {
        compare(case, "ours", &case.expected.ours, &ours[place], &mut wrong);
        if let Some(haproxy) = &haproxy {
            compare(case, "haproxy", &case.expected.haproxy, &haproxy[place], &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{name}: not as written (UPDATE_CASES=1 writes what is):\n{wrong}");
}

fn compare(case: &Case, side: &str, expected: &[String], came: &[String], wrong: &mut String) {
    if expected != came {
        let list = |lines: &[String]| lines.iter().fold(String::new(), |all, line| all + "\n    " + line);
        writeln!(wrong, "{}, {side}:{}\n  but came:{}", case.name, list(expected), list(came)).unwrap();
    }
}

fn on_ours(theme: &Theme) -> Vec<Vec<String>> {
    let stage = Stage::set(theme);
    // One thread: what came before has been seen when a later connection is answered.
    let engine = Engine::start(1).unwrap();
    let snapshot = Arc::new(Snapshot::compile(&stage.spec, engine.registry()).unwrap());
    let names = listen::socket_names(&stage.spec, 1);
    engine.configure(snapshot, names.into_iter().zip(stage.sockets).collect(), &[]).unwrap();
    play_all(&theme.cases, &stage.places)
}

fn on_haproxy(theme: &Theme) -> Option<Vec<Vec<String>>> {
    let stage = Stage::set(theme);
    let _haproxy = HaProxy::serve(&stage.spec, &stage.sockets)?;
    Some(play_all(&theme.cases, &stage.places))
}

fn play_all(cases: &[Case], places: &[Place]) -> Vec<Vec<String>> {
    let next = AtomicUsize::new(0);
    let mut outcomes = std::thread::scope(|scope| {
        let work = || {
            let mut outcomes = vec![];
            loop {
                let place = next.fetch_add(1, Relaxed);
                let Some(case) = cases.get(place) else { return outcomes };
                outcomes.push((place, play(case, &places[place])));
            }
        };
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    outcomes.sort();
    outcomes.into_iter().map(|(_, lines)| lines).collect()
}

#[test]
fn there_are_enough_cases() {
    let themes = themes();
    let count = |start: &str| {
        let named = themes.iter().filter(|theme| theme.name.starts_with(start));
        named.map(|theme| theme.cases.len()).sum::<usize>()
    };
    assert!(count("") >= 600, "{}", count(""));
    assert!(count("smuggling") >= 120, "{}", count("smuggling"));
    let mut files: Vec<_> = std::fs::read_dir(cases()).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let played: Vec<_> = THEMES.iter().map(|name| cases().join(format!("{name}.txt"))).collect();
    files.retain(|file| !file.ends_with("reasons.txt"));
    assert_eq!(files, played, "each file is a theme");
}

/// Whatever a client or a member sends, others get what they asked for.
#[test]
fn nobody_else_suffers() {
    for theme in themes() {
        for case in &theme.cases {
            let suffers = |line: &String| line.starts_with("victim") || line == "silence";
            assert!(!case.expected.ours.iter().any(suffers), "{}: {}", theme.name, case.name);
        }
    }
}

#[test]
fn the_page_of_differences_is_current() {
    page::check(&themes(), &cases().join("reasons.txt"));
}
