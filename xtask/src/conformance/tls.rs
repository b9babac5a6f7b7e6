//! sslyze: what a scanner thinks of a listener with the default policy, made as a user makes it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use octavia_testkit::rest::text;
use octavia_testkit::{AllInOne, AllInOneOptions, net};
use serde_json::json;

use super::debug_binary;
use crate::setup;
use crate::shell::{root, run_quietly, target_dir};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Use this program instead of building `octavia`
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// In certificates.
const NAME: &str = "scan.test";
const LIMIT: Duration = Duration::from_secs(60);
/// Mozilla's profile that is for services in general.
const PROFILE: &str = "intermediate";
/// All it can look for in a server, headers of HTTP aside: those are the members' business.
const SCANS: [&str; 17] = [
    "--certinfo",
    "--compression",
    "--early_data",
    "--elliptic_curves",
    "--ems",
    "--fallback",
    "--heartbleed",
    "--openssl_ccs",
    "--reneg",
    "--resum",
    "--robot",
    "--sslv2",
    "--sslv3",
    "--tlsv1",
    "--tlsv1_1",
    "--tlsv1_2",
    "--tlsv1_3",
];
/// Keys that listeners have, by their name, as `openssl req` makes them.
const KEYS: [(&str, &[&str]); 2] = [
    ("RSA-2048", &["-newkey", "rsa:2048"]),
    ("P-256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let venv = target_dir()?.join("venv-sslyze");
    setup::environment(&venv, &root().join("xtask/sslyze-requirements.txt"), "sslyze")?;
    let binary = match &arguments.binary {
        Some(binary) => binary.canonicalize().context("the program")?,
        None => debug_binary()?,
    };
    let dir = tempfile::Builder::new().prefix("octavia-sslyze-").tempdir()?;
    certificate(dir.path(), "ca", &["-newkey", "rsa:2048"], None)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let product =
        runtime.block_on(AllInOne::start(AllInOneOptions::new(binary, dir.path().join("state"))?))?;
    let mut content = true;
    for (name, key) in KEYS {
        let bundle = certificate(dir.path(), "own", key, Some("ca"))?;
        let address = runtime.block_on(listener(&product, &bundle))?;
        content &= scan(&venv, dir.path(), name, address)?;
    }
    if !content {
        bail!("sslyze is not content");
    }
    Ok(())
}

/// A certificate with its key in one text, signed by that authority, or by itself.
fn certificate(dir: &Path, name: &str, key: &[&str], authority: Option<&str>) -> Result<String> {
    let file = |name: &str, kind: &str| dir.join(name).with_extension(kind);
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-nodes", "-days", "90", "-subj", &format!("/CN={name}")]).args(key);
    if let Some(authority) = authority {
        command.arg("-CA").arg(file(authority, "crt")).arg("-CAkey").arg(file(authority, "key"));
        command.args(["-addext", &format!("subjectAltName=DNS:{NAME}")]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    } else {
        command.args(["-addext", "keyUsage=critical,keyCertSign"]);
    }
    command.arg("-keyout").arg(file(name, "key")).arg("-out").arg(file(name, "crt"));
    run_quietly(&mut command)?;
    Ok(std::fs::read_to_string(file(name, "crt"))? + &std::fs::read_to_string(file(name, "key"))?)
}

/// A new load balancer with a listener that says nothing of TLS but its certificate; where it is.
async fn listener(product: &AllInOne, bundle: &str) -> Result<SocketAddr> {
    let rest = product.rest("demo").await?;
    let subnet = rest.subnet_id("private-subnet").await?;
    let made = rest.lb_create(&json!({ "vip_subnet_id": subnet })).await?;
    let lb = text(&made["id"])?;
    rest.lb_active(&lb, LIMIT).await?;
    let vip = text(&made["vip_address"])?.parse()?;
    let port = net::free_port(vip)?;
    let reference = rest.secret_store("own", bundle).await?;
    let listener = json!({ "listener": {
        "loadbalancer_id": lb, "protocol": "TERMINATED_HTTPS", "protocol_port": port,
        "default_tls_container_ref": reference,
    }});
    rest.post("/lbaas/listeners", &listener).await?;
    rest.lb_active(&lb, LIMIT).await?;
    Ok(SocketAddr::new(vip, port))
}

/// Whether it found nothing.
fn scan(venv: &Path, dir: &Path, name: &str, address: SocketAddr) -> Result<bool> {
    let mut command = Command::new(venv.join("bin/sslyze"));
    command.args(["--mozilla_config", PROFILE, "--certinfo_ca_file"]).arg(dir.join("ca.crt"));
    command.args(SCANS).arg(format!("{NAME}:{}{{{}}}", address.port(), address.ip()));
    let output = command.stdin(Stdio::null()).output().context("sslyze")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let log = target_dir()?.join(format!("sslyze-{name}.log"));
    std::fs::write(&log, text.as_bytes())?;
    // What is found without the profile's asking is marked like this.
    let faults: Vec<&str> = text.lines().filter(|line| line.contains("VULNERABLE - ")).collect();
    let verdict = text.find("COMPLIANCE AGAINST").map_or(text.as_ref(), |at| &text[at..]);
    println!("{name}: {}\n{}\nsslyze: all of it: {}", faults.join("\n"), verdict.trim(), log.display());
    Ok(output.status.success() && faults.is_empty())
}
