//! A real Barbican with a real Keystone: what users store there becomes listeners of ours, or is refused with the command
//! that helps. Users speak through the `openstack` client.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use octavia_testkit::{AllInOne, AllInOneOptions, Rest};
use serde_json::json;

use super::services::{self, PASSWORD, REGION, Service};
use crate::setup;
use crate::shell::{root, run_quietly};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Use this program instead of building `octavia`
    #[arg(long)]
    binary: Option<PathBuf>,
}

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// Of the key that is stored encrypted.
const PASSPHRASE: &str = "open sesame";

/// Users, each with a project and roles there.
fn users() -> serde_json::Value {
    json!({
        "octavia": ["service", "service"],
        "barbican": ["service", "service"],
        // Owns what is stored; Anna works with her, Bob elsewhere.
        "alice": ["shop", "member"],
        "anna": ["shop", "member"],
        "bob": ["forge", "member"],
    })
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let venv = services::install()?;
    ensure!(setup::venv().join("bin/openstack").exists(), "the clients are missing: cargo xtask setup");
    let binary = match &arguments.binary {
        Some(binary) => binary.canonicalize().context("the program")?,
        None => crate::bench::release_binary()?,
    };
    let dir = tempfile::Builder::new().prefix("octavia-barbican-").tempdir()?;
    let keystone = Service::keystone(&venv, TOKEN_LIFETIME)?;
    let barbican = Service::barbican(&venv, &keystone)?;
    let mut options = AllInOneOptions::new(binary, dir.path().join("state"))?;
    let url = format!("http://{}", options.bind);
    run_quietly(
        Command::new(setup::venv().join("bin/python"))
            .arg(root().join("xtask/services/prepare.py"))
            .envs(login(&keystone, "admin", "admin"))
            .env(
                "PREPARE",
                json!({
                    "users": users(),
                    "services": { "load-balancer": url, "key-manager": barbican.url, "network": url },
                })
                .to_string(),
            ),
    )?;
    let configuration = dir.path().join("octavia.conf");
    std::fs::write(
        &configuration,
        format!(
            "[keystone_authtoken]\nwww_authenticate_uri = {keystone}\nauth_section = service_auth\n[service_auth]\n\
             auth_url = {keystone}\nauth_type = password\nusername = octavia\npassword = {PASSWORD}\n\
             project_name = service\nuser_domain_name = Default\nproject_domain_name = Default\n[certificates]\n\
             region_name = {REGION}\n",
            keystone = keystone.url
        ),
    )?;
    options.arguments = vec!["--network".into(), "noop".into(), "--config-file".into(), configuration.into()];
    let runtime = tokio::runtime::Runtime::new()?;
    let product = runtime.block_on(AllInOne::start(options))?;
    let material = Material::make(dir.path())?;
    let mut story = Story { keystone, product, runtime, material, port: 8000, steps: 0 };
    let told = story.play().and_then(|()| story.without(barbican));
    told.map_err(|error| anyhow::anyhow!("{error:#}\n{}", story.product.log_tail()))?;
    println!("barbican: {} steps went as they should", story.steps);
    Ok(())
}

/// What a client needs to log in.
fn login(keystone: &Service, user: &str, project: &str) -> Vec<(&'static str, String)> {
    [
        ("OS_AUTH_URL", keystone.url.as_str()),
        ("OS_IDENTITY_API_VERSION", "3"),
        ("OS_USERNAME", user),
        ("OS_PASSWORD", PASSWORD),
        ("OS_PROJECT_NAME", project),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ("OS_REGION_NAME", REGION),
        ("PYTHONWARNINGS", "ignore"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// Files of a certificate that an intermediate authority signed.
struct Material(PathBuf);

impl Material {
    fn make(dir: &Path) -> Result<Self> {
        let openssl = |line: &str| {
            let mut command = Command::new("openssl");
            run_quietly(command.current_dir(dir).args(line.split('|').flat_map(words)))
        };
        /// Words, but for what is between bars: that is one.
        fn words(part: &str) -> Vec<&str> {
            match part.strip_prefix('=') {
                Some(one) => vec![one],
                None => part.split_whitespace().collect(),
            }
        }
        std::fs::write(dir.join("ca.ext"), "basicConstraints=critical,CA:TRUE\n")?;
        std::fs::write(dir.join("server.ext"), "subjectAltName=DNS:www.example.test\n")?;
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -keyout root.key -out root.pem -subj /CN=root -days 3650"))?;
        for (name, issuer, extensions) in [("middle", "root", "ca.ext"), ("server", "middle", "server.ext")] {
            openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"))?;
            openssl(&format!(
                "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 3650 \
                 -extfile {extensions} -out {name}.pem"
            ))?;
        }
        openssl(
            "pkcs12 -export -inkey server.key -in server.pem -certfile middle.pem -out all.p12 -passout pass:",
        )?;
        openssl(&format!(
            "pkcs8 -topk8 -in server.key -v2 aes-256-cbc -out sealed.key -passout|=pass:{PASSPHRASE}"
        ))?;
        let encoded = openssl("base64 -A -in all.p12")?;
        std::fs::write(dir.join("all.p12.b64"), encoded)?;
        Ok(Self(dir.to_owned()))
    }

    fn text(&self, name: &str) -> Result<String> {
        std::fs::read_to_string(self.0.join(name)).with_context(|| name.to_owned())
    }
}

struct Story {
    keystone: Service,
    product: AllInOne,
    runtime: tokio::runtime::Runtime,
    material: Material,
    /// Of the next listener.
    port: u16,
    steps: u32,
}

impl Story {
    fn play(&mut self) -> Result<()> {
        let hers = self.load_balancer("alice")?;
        let his = self.load_balancer("bob")?;

        // What is hers needs no command: by naming it she lets the service read it.
        let bundle = self.bundle()?;
        self.accepted("a PKCS#12 secret", "alice", &hers, &bundle)?;
        let octavia = self.user_id("octavia")?;
        let readers = self.openstack("alice", &["acl", "get", &bundle, "-f", "json"])?;
        ensure!(readers.contains(&octavia), "the service is not on the list: {readers}");
        let container = self.container(PASSPHRASE)?;
        self.accepted("a container with intermediates and a sealed key", "alice", &hers, &container)?;
        self.accepted("the same by her colleague", "anna", &hers, &container)?;
        let wrong = self.container("guess")?;
        self.refused("a wrong passphrase", "alice", &hers, &wrong, "passphrase")?;
        let text = self.secret("passphrase", "no certificate")?;
        self.refused("a secret that is no certificate", "alice", &hers, &text, "bundle is unreadable")?;
        let nothing = bundle.rsplit_once('/').context("a reference")?.0;
        let nothing = format!("{nothing}/00000000-0000-4000-8000-000000000000");
        self.refused("nothing", "alice", &hers, &nothing, "no secret 00000000")?;
        self.client_authority(&hers, &bundle)?;

        // What is somebody else's takes what the answers say, no more and no less.
        for (what, reference) in [
            ("a secret of another project", self.bundle()?),
            ("a container of another project", self.container(PASSPHRASE)?),
        ] {
            let users = [self.user_id("bob")?, self.user_id("octavia")?];
            let mut run = BTreeSet::new();
            while let Err(said) = self.listener("bob", &his, &reference, &[])? {
                self.step(&format!("{what}: {said}"));
                let commands = commands(&said);
                ensure!(!commands.is_empty(), "no command in: {said}");
                for command in commands {
                    ensure!(users.iter().any(|user| command.contains(user)), "somebody else's right: {said}");
                    ensure!(run.insert(command.clone()), "a command that was run already: {said}");
                    let words: Vec<_> = command.split_whitespace().skip(1).collect();
                    self.openstack("alice", &words)?;
                    self.step(&format!("alice runs: {command}"));
                }
            }
            let parts = if reference.contains("/containers/") { 5 } else { 1 };
            ensure!(run.len() == 2 * parts, "{} commands for {parts} parts and two users", run.len());
            self.accepted(&format!("{what}, once allowed"), "bob", &his, &reference)?;
        }

        // A private one is closed to the project, too.
        let private = self.bundle()?;
        self.openstack(
            "alice",
            &["acl", "submit", "--operation-type", "read", "--no-project-access", &private],
        )?;
        let anna = self.user_id("anna")?;
        self.refused("a private secret", "anna", &hers, &private, &format!("--user {anna}"))?;
        self.accepted("her own private secret", "alice", &hers, &private)
    }

    /// Barbican goes away.
    fn without(&mut self, barbican: Service) -> Result<()> {
        let bundle = self.bundle()?;
        let hers = self.load_balancer("alice")?;
        drop(barbican);
        self.refused("no Barbican", "alice", &hers, &bundle, "The key manager could not be asked").map(drop)
    }

    fn load_balancer(&mut self, user: &str) -> Result<String> {
        let clouds = self.material.0.join(format!("{user}.yaml"));
        let (url, project) = (&self.keystone.url, project(user)?);
        let text = format!(
            "clouds:\n  it:\n    auth:\n      auth_url: {url}\n      username: {user}\n      password: {PASSWORD}\n      \
             project_name: {project}\n      user_domain_name: Default\n      project_domain_name: Default\n"
        );
        std::fs::write(&clouds, text)?;
        self.runtime.block_on(async {
            let rest = Rest::login(&clouds, "it").await?;
            let network = "11111111-1111-4111-8111-111111111111";
            let made = rest.lb_create(&json!({"vip_network_id": network})).await?;
            let id = octavia_testkit::rest::text(&made["id"])?;
            rest.lb_active(&id, Duration::from_secs(60)).await?;
            Ok(id)
        })
    }

    fn client_authority(&mut self, load_balancer: &str, bundle: &str) -> Result<()> {
        let authority = self.secret("certificate", &self.material.text("root.pem")?)?;
        let more = ["--client-ca-tls-container-ref", &authority, "--client-authentication", "OPTIONAL"];
        self.listener("alice", load_balancer, bundle, &more)?.map_err(anyhow::Error::msg)?;
        self.step("the authority of clients");
        Ok(())
    }

    /// A secret with everything in it.
    fn bundle(&self) -> Result<String> {
        let content =
            ["--payload-content-type", "application/octet-stream", "--payload-content-encoding", "base64"];
        self.stored(
            &[&["--secret-type", "opaque"], &content[..]].concat(),
            &self.material.text("all.p12.b64")?,
        )
    }

    fn secret(&self, kind: &str, payload: &str) -> Result<String> {
        self.stored(&["--secret-type", kind, "--payload-content-type", "text/plain"], payload)
    }

    fn stored(&self, how: &[&str], payload: &str) -> Result<String> {
        let payload = format!("--payload={payload}");
        let words =
            [&["secret", "store"], how, &[payload.as_str(), "-f", "value", "-c", "Secret href"]].concat();
        self.openstack("alice", &words)
    }

    fn container(&self, passphrase: &str) -> Result<String> {
        let mut words = ["secret", "container", "create", "--type", "certificate", "-f", "value", "-c"]
            .map(str::to_owned)
            .to_vec();
        words.push("Container href".to_owned());
        for (part, kind, payload) in [
            ("certificate", "certificate", self.material.text("server.pem")?),
            ("intermediates", "certificate", self.material.text("middle.pem")?),
            ("private_key", "private", self.material.text("sealed.key")?),
            ("private_key_passphrase", "passphrase", passphrase.to_owned()),
        ] {
            words.extend(["--secret".to_owned(), format!("{part}={}", self.secret(kind, &payload)?)]);
        }
        self.openstack("alice", &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn user_id(&self, name: &str) -> Result<String> {
        let words = ["user", "show", name, "-f", "value", "-c", "id"];
        self.client(&login(&self.keystone, "admin", "admin"), &words)?.map_err(anyhow::Error::msg)
    }

    /// The error is what the client prints.
    fn listener(
        &mut self,
        user: &str,
        load_balancer: &str,
        reference: &str,
        more: &[&str],
    ) -> Result<Result<String, String>> {
        self.port += 1;
        let port = self.port.to_string();
        let words =
            ["loadbalancer", "listener", "create", "--protocol", "TERMINATED_HTTPS", "--protocol-port"];
        let rest = [port.as_str(), "--default-tls-container-ref", reference, load_balancer];
        let words = [&words[..], &rest, more].concat();
        self.client(&login(&self.keystone, user, &project(user)?), &words)
    }

    fn accepted(&mut self, what: &str, user: &str, load_balancer: &str, reference: &str) -> Result<()> {
        let made = self.listener(user, load_balancer, reference, &[])?;
        made.map_err(anyhow::Error::msg).with_context(|| what.to_owned())?;
        self.step(what);
        Ok(())
    }

    /// What the client prints, which has `said` in it.
    fn refused(
        &mut self,
        what: &str,
        user: &str,
        load_balancer: &str,
        reference: &str,
        said: &str,
    ) -> Result<String> {
        match self.listener(user, load_balancer, reference, &[])? {
            Err(text) if text.contains(said) => {
                self.step(&format!("{what}: {text}"));
                Ok(text)
            }
            Err(text) => bail!("{what}: {said:?} is expected in: {text}"),
            Ok(_) => bail!("{what}: it was accepted"),
        }
    }

    fn openstack(&self, user: &str, words: &[&str]) -> Result<String> {
        self.client(&login(&self.keystone, user, &project(user)?), words)?
            .map_err(|text| anyhow::anyhow!("openstack {}: {text}", words.join(" ")))
    }

    /// What the client prints, or what it complains of.
    fn client(&self, login: &[(&str, String)], words: &[&str]) -> Result<Result<String, String>> {
        let output = Command::new(setup::venv().join("bin/openstack"))
            .args(words)
            .envs(login.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
    }

    fn step(&mut self, what: &str) {
        self.steps += 1;
        println!("{:3} {what}", self.steps);
    }
}

fn project(user: &str) -> Result<String> {
    let project = users()[user][0].as_str().map(str::to_owned);
    project.with_context(|| format!("nobody is called {user}"))
}

/// The commands that an answer tells.
fn commands(said: &str) -> Vec<String> {
    let command = |at: usize| {
        let words = said[at..].split_whitespace().take(9);
        words.map(|word| word.trim_end_matches([';', '.', ')', ','])).collect::<Vec<_>>().join(" ")
    };
    said.match_indices("openstack acl user add").map(|(at, _)| command(at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found() {
        let add = "openstack acl user add --user u --operation-type read http://k/v1/secrets/";
        let said = format!("x (User u may not read it. Its owner can allow that: {add}1; {add}2) (HTTP 400)");
        let found = commands(&said);
        assert_eq!(found, [format!("{add}1"), format!("{add}2")]);
        assert_eq!(commands("nothing to do"), [""; 0]);
    }
}
