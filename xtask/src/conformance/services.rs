//! Services of OpenStack, started on loopback: installed once into `target/services`, what they keep goes with them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::setup;
use crate::shell::{root, run_quietly, target_dir};

/// How long one may take to listen.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Of everybody in a Keystone that lives as long as its tests.
pub(super) const PASSWORD: &str = "conformance";
pub(super) const REGION: &str = "RegionOne";

/// A running service; dropped, it ends, and all it had is removed.
pub(super) struct Service {
    pub(super) url: String,
    server: Child,
    dir: PathBuf,
}

/// Where they are installed.
pub(super) fn install() -> Result<PathBuf> {
    let venv = target_dir()?.join("services");
    setup::environment(&venv, &root().join("xtask/services/requirements.txt"), "Keystone and Barbican")?;
    Ok(venv)
}

impl Service {
    /// A Keystone with an administrator. Its tokens live `token_lifetime`.
    pub(super) fn keystone(venv: &Path, token_lifetime: Duration) -> Result<Self> {
        let (dir, port) = place("keystone")?;
        let url = format!("http://127.0.0.1:{port}/v3");
        let at = |name: &str| dir.join(name).display().to_string();
        let configuration = format!(
            "[database]\nconnection = sqlite:///{}\n[token]\nexpiration = {}\n[fernet_tokens]\nkey_repository = {}\n\
             [credential]\nkey_repository = {}\n[fernet_receipts]\nkey_repository = {}\n[cache]\nenabled = false\n\
             [identity]\npassword_hash_rounds = 4\n",
            at("keystone.db"),
            token_lifetime.as_secs(),
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
        let mut bootstrap =
            vec!["bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION];
        for interface in ["--bootstrap-public-url", "--bootstrap-internal-url", "--bootstrap-admin-url"] {
            bootstrap.extend([interface, url.as_str()]);
        }
        manage(&bootstrap)?;
        let mut command = Command::new(venv.join("bin/python"));
        command.env("OS_KEYSTONE_CONFIG_FILES", "keystone.conf").env("OS_KEYSTONE_CONFIG_DIR", &dir);
        Self::start("keystone", command, url, port, dir)
    }

    /// A Barbican that takes the tokens of a Keystone, where it is the user `barbican` of the project `service`.
    pub(super) fn barbican(venv: &Path, keystone: &Self) -> Result<Self> {
        let (dir, port) = place("barbican")?;
        let url = format!("http://127.0.0.1:{port}");
        let configuration = format!(
            "[DEFAULT]\nhost_href = {url}\ndb_auto_create = true\n[database]\nconnection = sqlite:///{}\n\
             [secretstore]\nnamespace = barbican.secretstore.plugin\nenabled_secretstore_plugins = store_crypto\n\
             [crypto]\nnamespace = barbican.crypto.plugin\nenabled_crypto_plugins = simple_crypto\n\
             [simple_crypto_plugin]\nkek = 'Y29uZm9ybWFuY2UtY29uZm9ybWFuY2UtY29uZm9ybSE='\n[queue]\nenable = false\n\
             [keystone_authtoken]\nauth_url = {keystone}\nwww_authenticate_uri = {keystone}\nauth_type = password\n\
             username = barbican\npassword = {PASSWORD}\nproject_name = service\nuser_domain_name = Default\n\
             project_domain_name = Default\nregion_name = {REGION}\n",
            dir.join("barbican.db").display(),
            keystone = keystone.url,
        );
        fs::write(dir.join("barbican.conf"), configuration)?;
        let mut command = Command::new(venv.join("bin/python"));
        command.env("HOME", &dir).env("SERVE_PASTE", venv.join("etc/barbican/barbican-api-paste.ini"));
        Self::start("barbican", command, url, port, dir)
    }

    fn start(name: &str, mut command: Command, url: String, port: u16, dir: PathBuf) -> Result<Self> {
        let log = fs::File::create(dir.join("log"))?;
        let server = command
            .arg(root().join("xtask/services/serve.py"))
            .env("SERVE", name)
            .env("SERVE_PORT", port.to_string())
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        let mut service = Self { url, server, dir };
        let deadline = Instant::now() + UP_WITHIN;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if service.server.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("{name} does not listen:\n{}", service.log_tail());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(service)
    }

    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A new directory, and a port that was free: whoever takes it in between makes the start fail, not the tests.
fn place(name: &str) -> Result<(PathBuf, u16)> {
    let dir = target_dir()?.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok((dir, octavia_testkit::net::free_port(IpAddr::V4(Ipv4Addr::LOCALHOST))?))
}
