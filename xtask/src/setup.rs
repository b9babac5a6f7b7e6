//! What tests need from outside: distribution packages, and the OpenStack clients in `target/venv`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell::{found, root, run_quietly, target_dir};

/// A program that must be there, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("haproxy", "haproxy"),
    ("nginx", "nginx-light"),
    ("wrk", "wrk"),
    ("ab", "apache2-utils"),
    ("h2load", "nghttp2-client"),
    ("valgrind", "valgrind"),
    ("curl", "curl"),
    ("keepalived", "keepalived"),
    ("openssl", "openssl"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
    ("setpriv", "util-linux"),
    ("taskset", "util-linux"),
    ("mariadbd", "mariadb-server"),
    ("python3", "python3"),
];

pub(crate) fn run() -> Result<()> {
    if !found("cargo-nextest") {
        bail!("cargo-nextest is missing; install it: cargo install --locked cargo-nextest");
    }
    packages()?;
    clients()
}

fn packages() -> Result<()> {
    let mut missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !found(program)).map(|(_, package)| *package).collect();
    // Debian keeps the server's programs out of PATH.
    if !Path::new("/usr/lib/postgresql").read_dir().is_ok_and(|mut versions| {
        versions.any(|version| version.is_ok_and(|version| version.path().join("bin/initdb").exists()))
    }) {
        missing.push("postgresql");
    }
    // The module is there without what it needs when only python3 is installed.
    if !venv().is_dir() && run_quietly(Command::new("python3").args(["-c", "import ensurepip"])).is_err() {
        missing.push("python3-venv");
    }
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() || !found("apt-get") {
        bail!(
            "these Debian packages are missing, and installing them needs root and apt: {}",
            missing.join(" ")
        );
    }
    eprintln!("xtask: installing packages (once): {}", missing.join(" "));
    let _guard = NoServices::install()?;
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.arg("-qq").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    run_quietly(&mut command)?;
    Ok(())
}

/// While it lives, packages do not start their services: tests start what they need, in directories of their own.
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn install() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;

        let path = PathBuf::from("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        std::fs::write(&path, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Where the OpenStack clients are.
pub(crate) fn venv() -> PathBuf {
    target_dir().unwrap_or_else(|_| PathBuf::from("target")).join("venv")
}

fn clients() -> Result<()> {
    let requirements = root().join("xtask/requirements.txt");
    environment(&venv(), &requirements, "the OpenStack clients")
}

/// A Python environment with exactly what the requirements say; what is there already stays.
pub(crate) fn environment(venv: &Path, requirements: &Path, what: &str) -> Result<()> {
    let wanted = std::fs::read_to_string(requirements)?;
    let stamp = venv.join("requirements.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    // Making it anew empties it, and what a link leads to is somebody else's.
    if venv.is_symlink() {
        bail!("{} is a link to an environment that does not fit {}", venv.display(), requirements.display());
    }
    eprintln!("xtask: installing {what} into {} (once)", venv.display());
    run_quietly(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    pip(venv, requirements).with_context(|| what.to_owned())?;
    std::fs::write(&stamp, wanted)?;
    Ok(())
}

fn pip(venv: &Path, requirements: &Path) -> Result<()> {
    let mut command = Command::new(venv.join("bin/pip"));
    command.args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements);
    run_quietly(&mut command)?;
    Ok(())
}
