//! What fuzzing leaves to the ordinary tests: a property is played over the committed corpus of its target
//! (`fuzz/corpus/TARGET`), and for about a second over what becomes of it by chance.
//!
//! Development only. The chance is the same in every run; `cargo xtask fuzz` is for finding something new.

mod mutate;

use std::path::Path;
use std::time::{Duration, Instant};

use mutate::Mutator;

/// Chances taken, unless the time is up before.
const ROUNDS: u32 = 50_000;
const TIME: Duration = Duration::from_secs(1);

/// Plays `property`, which panics where it does not hold, over the corpus of `target`. It answers whether the input
/// meant something: a corpus of which nothing does, or all, tests little.
///
/// # Panics
///
/// With the property, after saying for which input; and if the corpus is none.
#[allow(clippy::panic, reason = "a test says by it that it failed")]
pub fn play(target: &str, property: impl Fn(&[u8]) -> bool) {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let inputs = read(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
    let good = inputs.iter().filter(|(name, input)| check(name, input, &property)).count();
    assert!(0 < good && good < inputs.len(), "{good} of {} inputs mean something", inputs.len());
    let (names, inputs): (Vec<_>, Vec<_>) = inputs.into_iter().unzip();
    let mut mutator = Mutator::new(target);
    let end = Instant::now() + TIME;
    for _ in 0..ROUNDS {
        let (from, input) = mutator.next(&inputs);
        check(&names[from], &input, &property);
        if Instant::now() > end {
            break;
        }
    }
}

fn read(place: &Path) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = vec![];
    for entry in place.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push((name, std::fs::read(&path)?));
    }
    inputs.sort();
    Ok(inputs)
}

fn check(name: &str, input: &[u8], property: impl Fn(&[u8]) -> bool) -> bool {
    let _culprit = Culprit { name, input };
    property(input)
}

/// Tells which input it was when the property panics.
struct Culprit<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Culprit<'_> {
    #[allow(clippy::print_stderr, reason = "beside the panic's own message")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("from {}: b\"{}\"", self.name, self.input.escape_ascii());
        }
    }
}
