//! schemathesis: requests made up out of the API's own description, and the answers held against it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use octavia_testkit::{AllInOne, AllInOneOptions};
use serde_json::{Value, json};

use crate::setup;
use crate::shell::{cargo, root, run as run_shown, target_dir};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long requests are made up
    #[arg(long, default_value_t = 120)]
    seconds: u32,
    /// Make up the same requests again
    #[arg(long)]
    seed: Option<u64>,
    /// Use this program instead of building `octavia`
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What the API does otherwise on purpose, each with the reason.
const NOT_CHECKED: &[&str] = &[
    // As in the original, "80" is a number and "yes" a boolean; the document tells only the canonical forms.
    "negative_data_rejection",
    // Most ids in a body must be of something that is there, and attributes depend on each other.
    "positive_data_acceptance",
    // As in the original, PUT and DELETE of a collection are told that an id is missing (400, not 405), and `/` takes
    // any method.
    "unsupported_method",
    // As in the original, a project's quota is there also when it has none of its own.
    "use_after_free",
];

/// 501 is an honest answer. That it is described where it is given, another check sees to.
const CONFIGURATION: &str = "\
[checks.not_a_server_error]
expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 501]
";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let venv = target_dir()?.join("venv-schemathesis");
    setup::environment(&venv, &root().join("xtask/schemathesis-requirements.txt"), "schemathesis")?;
    let binary = match &arguments.binary {
        Some(binary) => binary.canonicalize().context("the program")?,
        None => debug_binary()?,
    };
    let dir = tempfile::Builder::new().prefix("octavia-schemathesis-").tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut options = AllInOneOptions::new(binary, dir.path().join("state"))?;
    options.arguments = ["--network", "noop"].map(Into::into).to_vec();
    let product = runtime.block_on(AllInOne::start(options))?;

    let program = venv.join("bin/schemathesis");
    std::fs::write(dir.path().join("schemathesis.toml"), CONFIGURATION)?;
    let mut command = Command::new(&program);
    command
        .current_dir(dir.path())
        .args(["--config-file", "schemathesis.toml"])
        .args(["run", &format!("{}/openapi.json", product.url()), "--url", &product.url()])
        .args(["--checks", "all", "--exclude-checks", &NOT_CHECKED.join(",")])
        .args(["--max-time", &arguments.seconds.to_string(), "--continue-on-failure", "--no-color"])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .args(["--header", &format!("X-Auth-Token: {}", token(&product)?)])
        .stdin(Stdio::null());
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let output = command.output().with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let log = target_dir()?.join("schemathesis.log");
    std::fs::write(&log, text.as_bytes())?;
    let summary = text.find("SUMMARY").map_or(text.as_ref(), |at| &text[at..]);
    println!("{summary}\nschemathesis: all of it: {}", log.display());
    if !output.status.success() {
        bail!("schemathesis is not content");
    }
    Ok(())
}

fn debug_binary() -> Result<PathBuf> {
    run_shown(cargo().args(["build", "--quiet", "-p", "octavia"]))?;
    Ok(target_dir()?.join("debug/octavia"))
}

/// An administrator's token, from the embedded Keystone.
fn token(product: &AllInOne) -> Result<String> {
    let password = product.password("admin")?;
    let domain = json!({ "name": "Default" });
    let body: Value = json!({ "auth": {
        "identity": {
            "methods": ["password"],
            "password": { "user": { "name": "admin", "password": password, "domain": domain } },
        },
        "scope": { "project": { "name": "admin", "domain": domain } },
    } });
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--output", "/dev/null", "--dump-header", "-", "--request", "POST"])
        .args(["--header", "Content-Type: application/json", "--data", &body.to_string()])
        .arg(format!("{}/identity/v3/auth/tokens", product.url()))
        .stdin(Stdio::null())
        .output()
        .context("curl")?;
    let headers = String::from_utf8_lossy(&output.stdout);
    let token = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
    });
    token.context("Keystone gave no token")
}
