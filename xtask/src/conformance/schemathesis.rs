//! schemathesis: requests made up out of the API's own description, and the answers held against it.
//!
//! Every check is on. Where the original's documented behaviour is otherwise, the operation that has it is excepted from
//! that check, with the reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use octavia_testkit::{AllInOne, AllInOneOptions};
use serde_json::{Value, json};

use crate::setup;
use crate::shell::{cargo, root, run as run_shown, target_dir};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long requests are made up, all callers together
    #[arg(long, default_value_t = 180)]
    seconds: u32,
    /// Make up the same requests again
    #[arg(long)]
    seed: Option<u64>,
    /// Use this program instead of building `octavia`
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// In CI a failure has to be one of the change, not of the day.
const SEED_IN_CI: u64 = 20;

/// Who asks, and for which share of the time: administrators alone reach everything.
const CALLERS: &[(Caller, u32)] = &[(Caller::Admin, 60), (Caller::Member, 25), (Caller::Reader, 15)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Admin,
    Member,
    Reader,
}

impl Caller {
    const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Reader => "reader",
        }
    }
}

const CONFIGURATION: &str = include_str!("schemathesis.toml");

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
    std::fs::write(dir.path().join("schemathesis.toml"), CONFIGURATION)?;

    let identity = Keystone { url: format!("{}/identity/v3", product.url()) };
    let admin = identity.token("admin", &product.password("admin")?, "admin")?;
    identity.reader(&admin)?;
    let mut content = true;
    for (caller, share) in CALLERS {
        let token = match caller {
            Caller::Admin => admin.clone(),
            Caller::Member => identity.token("demo", &product.password("demo")?, "demo")?,
            Caller::Reader => identity.token(READER, READER, "demo")?,
        };
        let seconds = (arguments.seconds * share / 100).max(1);
        content &= ask(&venv, dir.path(), &product, *caller, &token, seconds, arguments.seed)?;
    }
    if !content {
        bail!("schemathesis is not content");
    }
    Ok(())
}

/// As CI runs it.
pub(crate) fn run_in_ci(binary: PathBuf) -> Result<()> {
    run(&Arguments { seconds: 180, seed: Some(SEED_IN_CI), binary: Some(binary) })
}

/// Whether it found nothing as this caller.
fn ask(
    venv: &Path,
    dir: &Path,
    product: &AllInOne,
    caller: Caller,
    token: &str,
    seconds: u32,
    seed: Option<u64>,
) -> Result<bool> {
    let program = venv.join("bin/schemathesis");
    let mut command = Command::new(&program);
    command
        .current_dir(dir)
        .args(["--config-file", "schemathesis.toml"])
        .args(["run", &format!("{}/openapi.json", product.url()), "--url", &product.url()])
        // Without `--checks`, which would overrule the exceptions, all of them are on.
        .args(["--max-time", &seconds.to_string(), "--continue-on-failure", "--no-color"])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .args(["--header", &format!("X-Auth-Token: {token}")])
        .stdin(Stdio::null());
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let output = command.output().with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let log = target_dir()?.join(format!("schemathesis-{}.log", caller.word()));
    std::fs::write(&log, text.as_bytes())?;
    let summary = text.find("SUMMARY").map_or(text.as_ref(), |at| &text[at..]);
    println!("as {}, {seconds} s: {summary}\nschemathesis: all of it: {}", caller.word(), log.display());
    Ok(output.status.success())
}

/// The product, built for tests.
pub(crate) fn debug_binary() -> Result<PathBuf> {
    run_shown(cargo().args(["build", "--quiet", "-p", "octavia"]))?;
    Ok(target_dir()?.join("debug/octavia"))
}

/// A user who may only look, and the password.
const READER: &str = "schemathesis-reader";

/// The embedded one.
struct Keystone {
    url: String,
}

impl Keystone {
    fn token(&self, user: &str, password: &str, project: &str) -> Result<String> {
        let domain = json!({ "name": "Default" });
        let body = json!({ "auth": {
            "identity": {
                "methods": ["password"],
                "password": { "user": { "name": user, "password": password, "domain": domain } },
            },
            "scope": { "project": { "name": project, "domain": domain } },
        } });
        let headers =
            self.call("", "POST", "auth/tokens", &body, &["--dump-header", "-", "--output", "/dev/null"])?;
        let token = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
        });
        token.context("Keystone gave no token")
    }

    /// Makes the reader, in the project of the member.
    fn reader(&self, admin: &str) -> Result<()> {
        let user = json!({ "user": { "name": READER, "password": READER } });
        let user = self.json(admin, "POST", "users", &user)?;
        let id =
            |list: &Value, key: &str| list[key][0]["id"].as_str().map(str::to_owned).context("no such thing");
        let project = id(&self.json(admin, "GET", "projects?name=demo", &Value::Null)?, "projects")?;
        let role = id(&self.json(admin, "GET", "roles?name=reader", &Value::Null)?, "roles")?;
        let user = user["user"]["id"].as_str().context("no user was made")?;
        self.call(admin, "PUT", &format!("projects/{project}/users/{user}/roles/{role}"), &Value::Null, &[])?;
        Ok(())
    }

    fn json(&self, token: &str, method: &str, path: &str, body: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.call(token, method, path, body, &[])?)?)
    }

    fn call(&self, token: &str, method: &str, path: &str, body: &Value, more: &[&str]) -> Result<String> {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--request", method])
            .args(more);
        command.args(["--header", "Content-Type: application/json"]);
        if !token.is_empty() {
            command.args(["--header", &format!("X-Auth-Token: {token}")]);
        }
        if !body.is_null() {
            command.args(["--data", &body.to_string()]);
        }
        let output =
            command.arg(format!("{}/{path}", self.url)).stdin(Stdio::null()).output().context("curl")?;
        if !output.status.success() {
            bail!("{method} {path}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
