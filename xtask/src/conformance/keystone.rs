//! A real Keystone: installed, started, and asked through our client.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::setup;
use crate::shell::{self, cargo, root, run_quietly, target_dir};

/// How long Keystone may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Of the administrator of a Keystone that lives as long as its tests.
const PASSWORD: &str = "conformance";
/// Seconds a token lives: the tests wait for one to end.
const TOKEN_LIFETIME: u32 = 45;

pub(super) fn run() -> Result<()> {
    let requirements = root().join("xtask/keystone/requirements.txt");
    let venv = target_dir()?.join("keystone");
    setup::environment(&venv, &requirements, "Keystone")?;
    let server = Keystone::start(&venv)?;
    shell::run(
        cargo()
            .args(["nextest", "run", "-p", "octavia-keystone", "--run-ignored", "only", "real_keystone"])
            .env("OCTAVIA_TEST_KEYSTONE", &server.url)
            .env("OCTAVIA_TEST_KEYSTONE_PASSWORD", PASSWORD)
            .envs([("RUST_BACKTRACE", "0"), ("RUST_LIB_BACKTRACE", "0")]),
    )
}

/// A running Keystone; dropped, it ends, and all it had is removed.
struct Keystone {
    url: String,
    server: Child,
    dir: PathBuf,
}

impl Keystone {
    fn start(venv: &Path) -> Result<Self> {
        // Given back at once; whoever takes it in between makes the start fail, not the tests.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}/v3");
        let dir = target_dir()?.join(format!("keystone-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let at = |name: &str| dir.join(name).display().to_string();
        let configuration = format!(
            "[database]\nconnection = sqlite:///{}\n[token]\nexpiration = {TOKEN_LIFETIME}\n\
             [fernet_tokens]\nkey_repository = {}\n[credential]\nkey_repository = {}\n\
             [fernet_receipts]\nkey_repository = {}\n[cache]\nenabled = false\n\
             [identity]\npassword_hash_rounds = 4\n",
            at("keystone.db"),
            at("fernet"),
            at("credential"),
            at("fernet"),
        );
        fs::write(dir.join("keystone.conf"), configuration)?;
        let manage = |arguments: &[&str]| -> Result<()> {
            let mut command = Command::new(venv.join("bin/keystone-manage"));
            command.args(["--config-file", &at("keystone.conf")]).args(arguments);
            run_quietly(&mut command)?;
            Ok(())
        };
        manage(&["db_sync"])?;
        let user = run_quietly(Command::new("id").arg("-un"))?;
        let group = run_quietly(Command::new("id").arg("-gn"))?;
        for keys in ["fernet_setup", "credential_setup"] {
            manage(&[keys, "--keystone-user", user.trim(), "--keystone-group", group.trim()])?;
        }
        manage(&[
            "bootstrap",
            "--bootstrap-password",
            PASSWORD,
            "--bootstrap-region-id",
            "RegionOne",
            "--bootstrap-public-url",
            &url,
            "--bootstrap-internal-url",
            &url,
            "--bootstrap-admin-url",
            &url,
        ])?;
        let log = fs::File::create(dir.join("log"))?;
        let server = Command::new(venv.join("bin/python"))
            .arg(root().join("xtask/keystone/serve.py"))
            .env("KEYSTONE_PORT", port.to_string())
            .env("OS_KEYSTONE_CONFIG_FILES", "keystone.conf")
            .env("OS_KEYSTONE_CONFIG_DIR", &dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("Keystone does not start")?;
        let mut keystone = Self { url, server, dir };
        keystone.wait(port)?;
        Ok(keystone)
    }

    fn wait(&mut self, port: u16) -> Result<()> {
        let deadline = Instant::now() + UP_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if self.server.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                bail!("Keystone does not listen:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Keystone {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}
