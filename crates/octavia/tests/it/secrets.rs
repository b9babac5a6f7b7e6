//! The `openstack secret` and `openstack acl` commands of python-barbicanclient, unmodified, and what load balancing
//! makes of what they stored.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use octavia_testkit::rest::text;
use serde_json::Value;

use crate::world::{World, cloud_command, output, venv_program};

struct Cli<'a> {
    world: &'a World,
    dir: &'a Path,
}

impl Cli<'_> {
    fn command(&self, cloud: &str, words: &str) -> Result<Command> {
        let mut command = cloud_command(&venv_program("openstack")?, &self.world.product);
        command.env("OS_CLOUD", cloud).current_dir(self.dir).args(words.split_whitespace());
        Ok(command)
    }

    fn run(&self, words: &str) -> Result<String> {
        output(&mut self.command("demo", words)?)
    }

    fn json(&self, words: &str) -> Result<Value> {
        let text = self.run(&format!("{words} -f json"))?;
        serde_json::from_str(&text).with_context(|| text.clone())
    }

    /// Answers the reference. What is in files is stored as bytes.
    fn store(&self, cloud: &str, name: &str, file: &str) -> Result<String> {
        let words = format!("secret store --name {name} --file {file} -f json");
        let made: Value = serde_json::from_str(&output(&mut self.command(cloud, &words)?)?)?;
        text(&made["Secret href"])
    }

    /// What the command says as it fails.
    fn refused(&self, words: &str) -> Result<String> {
        let output = self.command("demo", words)?.output()?;
        ensure!(!output.status.success(), "{words} went well");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn files(dir: &Path) -> Result<()> {
    let openssl =
        |words: &str| output(Command::new("openssl").current_dir(dir).args(words.split_whitespace()));
    for words in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca -days 30 -keyout ca.key -out ca.pem",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=www.example.test -keyout www.key -out www.csr",
        "x509 -req -in www.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out www.pem",
        "pkcs12 -export -inkey www.key -in www.pem -certfile ca.pem -passout pass: -out www.p12",
    ] {
        openssl(words)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openstack_command_keeps_secrets_and_listeners_refer_to_them() -> Result<()> {
    let world = World::start().await?;
    let dir = tempfile::tempdir()?;
    files(dir.path())?;
    let cli = Cli { world: &world, dir: dir.path() };

    let p12 = cli.store("demo", "bundle", "www.p12")?;
    let certificate = cli.store("demo", "certificate", "www.pem")?;
    let key = cli.store("demo", "key", "www.key")?;
    let other = cli.store("demo", "other", "ca.key")?;
    let authority = cli.store("demo", "authority", "ca.pem")?;
    let listed = cli.json("secret list --name key")?;
    ensure!(listed[0]["Secret href"] == key.as_str() && listed[1].is_null(), "{listed}");
    ensure!(cli.json("secret list --limit 2")?.as_array().is_some_and(|rows| rows.len() == 2));
    let shown = cli.json(&format!("secret get {p12}"))?;
    ensure!(shown["Name"] == "bundle" && shown["Status"] == "ACTIVE", "{shown}");
    cli.run(&format!("secret get {p12} --file back.p12 --payload_content_type application/octet-stream"))?;
    ensure!(std::fs::read(dir.path().join("back.p12"))? == std::fs::read(dir.path().join("www.p12"))?);
    let words = cli.json("secret store --name words --payload sesame --payload-content-type text/plain")?;
    let words = text(&words["Secret href"])?;
    ensure!(cli.json(&format!("secret get {words} --payload"))?["Payload"] == "sesame");
    let later = text(&cli.json("secret store --name later")?["Secret href"])?;
    cli.run(&format!("secret update {later} afterwards"))?;
    ensure!(cli.json(&format!("secret get {later} --payload"))?["Payload"] == "afterwards");

    let container = |key: &str| -> Result<String> {
        let parts = format!("--secret certificate={certificate} --secret private_key={key}");
        let parts = format!("{parts} --secret intermediates={authority}");
        let made = cli.json(&format!("secret container create --name tls --type certificate {parts}"))?;
        text(&made["Container href"])
    };
    let (good, mismatched) = (container(&key)?, container(&other)?);
    ensure!(cli.json("secret container list")?.as_array().is_some_and(|rows| rows.len() == 2));
    // As JSON the command cannot show it: it stumbles over its own time.
    let shown = cli.run(&format!("secret container get {good} -f value -c Name -c Certificate"))?;
    ensure!(shown.contains("tls") && shown.contains(&certificate), "{shown}");
    cli.run(&format!(
        "secret consumer create {words} --service-type-name image --resource-type image --resource-id 1"
    ))?;
    ensure!(cli.refused(&format!("secret delete {words}"))?.contains("consumer"), "a secret in use went");

    cli.run("loadbalancer create --name web --vip-subnet-id private-subnet --wait")?;
    let create = |port: u16, reference: &str| {
        format!(
            "loadbalancer listener create --name front{port} --protocol TERMINATED_HTTPS --protocol-port {port} --wait \
             --default-tls-container-ref {reference} web"
        )
    };
    let refused = |reference: &str| cli.refused(&create(8443, reference));
    let theirs = output(&mut cli.command("admin", "secret store --name theirs --file www.p12 -f json")?)?;
    let theirs = text(&serde_json::from_str::<Value>(&theirs)?["Secret href"])?;
    for (reference, expected) in [
        (&mismatched, "The private key does not belong to the certificate"),
        (&words, "The PKCS#12 bundle is unreadable"),
        (&theirs, "openstack acl user add --user"),
    ] {
        let said = refused(reference)?;
        ensure!(said.contains(expected), "{reference}: {said}");
    }
    // The command that the refusal tells is the one to run.
    let said = refused(&theirs)?;
    let Some((_, advice)) = said.split_once("openstack acl user add") else { bail!("{said}") };
    let advice: Vec<_> = advice.split_whitespace().take_while(|word| !word.starts_with('(')).collect();
    output(&mut cli.command("admin", &format!("acl user add {}", advice.join(" ")))?)?;
    for (port, reference) in [(8443, &p12), (8444, &good), (8445, &theirs)] {
        cli.run(&create(port, reference))?;
        let shown = cli.json(&format!("loadbalancer listener show front{port}"))?;
        ensure!(shown["provisioning_status"] == "ACTIVE", "{shown}");
    }
    let vip = text(&cli.json("loadbalancer show web")?["vip_address"])?;
    for port in [8443, 8444, 8445] {
        let said = output(Command::new("openssl").current_dir(dir.path()).stdin(Stdio::null()).args([
            "s_client",
            "-connect",
            &format!("{vip}:{port}"),
            "-CAfile",
            "ca.pem",
            "-verify_return_error",
        ]))?;
        let verified = said.contains("Verify return code: 0 (ok)");
        ensure!(verified && said.replace(' ', "").contains("CN=www.example.test"), "{said}");
    }

    cli.run(&format!("secret container delete {mismatched}"))?;
    cli.run(&format!("secret delete {p12}"))?;
    ensure!(cli.refused(&create(8446, &p12))?.contains("There is no secret"));
    Ok(())
}
