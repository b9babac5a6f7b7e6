//! `cargo xtask fuzz`: looks for input for which what a parser promises does not hold.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::shell::{cargo, found, root, run, target_dir};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A file in fuzz/targets, without its ending; all of them, one after the other, if none is named
    target: Option<String>,
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The longest input tried, in bytes: longer than the longest head.
const LENGTH_MAX: u32 = 40_000;
/// An input that takes longer than so many seconds is a finding, too.
const SECONDS_EACH: u32 = 10;

pub(crate) fn go(arguments: &Arguments) -> Result<()> {
    if !found("cargo-fuzz") {
        bail!(
            "cargo-fuzz is missing; install it: cargo install --locked cargo-fuzz (Debian: it needs g++, too)"
        );
    }
    let mut targets = names(&root().join("fuzz/targets"))?;
    if let Some(only) = &arguments.target {
        let all = targets.join(", ");
        targets.retain(|target| target == only);
        if targets.is_empty() {
            bail!("no such target: {only}; there are {all}");
        }
    }
    let build = target_dir()?.join("fuzz");
    for target in &targets {
        // What it learns stays here. What is worth keeping is given a name in fuzz/corpus by hand.
        let learnt = build.join("corpus").join(target);
        std::fs::create_dir_all(&learnt)?;
        let mut command = cargo();
        // Sanitizers are for nightly compilers; this one has them, too.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(["fuzz", "run", "--fuzz-dir"]).arg(root().join("fuzz"));
        command.arg("--target-dir").arg(&build).arg(target).arg(&learnt);
        command.arg(root().join("fuzz/corpus").join(target)).arg("--");
        command.args([
            format!("-max_total_time={}", arguments.seconds),
            format!("-max_len={LENGTH_MAX}"),
            format!("-timeout={SECONDS_EACH}"),
            format!("-dict={}", root().join("fuzz/words.dict").display()),
            "-print_final_stats=1".to_owned(),
        ]);
        run(&mut command)?;
    }
    Ok(())
}

/// What is in a directory, without endings, in order.
fn names(place: &Path) -> Result<Vec<String>> {
    let mut names = vec![];
    for entry in place.read_dir().with_context(|| place.display().to_string())? {
        names.extend(entry?.path().file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_built_and_has_a_corpus() {
        let fuzz = root().join("fuzz");
        let targets = names(&fuzz.join("targets")).unwrap();
        assert_eq!(targets, names(&fuzz.join("corpus")).unwrap());
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
        }
        // What the tests play over a corpus is searched, and the other way round.
        let mut played = vec![];
        played_in(&root().join("crates"), &mut played);
        played.sort();
        assert_eq!(played, targets);
    }

    /// The corpora that sources here and below play.
    fn played_in(place: &Path, played: &mut Vec<String>) {
        for entry in place.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                played_in(&path, played);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("play(\"").skip(1).filter_map(|rest| rest.split('"').next());
                played.extend(names.map(str::to_owned));
            }
        }
    }
}
