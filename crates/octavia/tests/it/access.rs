//! Who may call and what: policy files and a Keystone elsewhere, as an operator meets them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use octavia_testkit::rest::Rest;
use octavia_testkit::{AllInOne, AllInOneOptions, wait_for};

use crate::world::{World, binary};

/// Files are looked at every second.
const LIMIT: Duration = Duration::from_secs(30);

fn directory() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("octavia-it-").tempdir()?)
}

/// The answer's status, and its challenge or else its body.
async fn status(url: &str, token: &str) -> Result<(u16, String)> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let answer = http.get(format!("{url}/v2/lbaas/flavors")).header("x-auth-token", token).send().await?;
    let code = answer.status().as_u16();
    match answer.headers().get("www-authenticate") {
        Some(challenge) => Ok((code, challenge.to_str()?.to_owned())),
        None => Ok((code, answer.text().await?)),
    }
}

#[test]
fn rules_can_be_asked() -> Result<()> {
    let dir = directory()?;
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("octavia.conf"), "[oslo_policy]\nenforce_new_defaults = false\n")?;
    std::fs::write(path("policy.yaml"), "\"os_load-balancer_api:flavor:post\": \"role:seller\"\n")?;
    std::fs::write(
        path("broken.conf"),
        format!("[oslo_policy]\npolicy_file = {}\n", path("broken").display()),
    )?;
    std::fs::write(path("broken"), "a: 'role:x'\nb: 'role:x and'\n")?;
    for (words, code, wanted) in [
        ("policy sample", 0, "#\"load-balancer:owner\": \"project_id:%(project_id)s\""),
        ("policy sample", 0, "# PUT /v2/lbaas/loadbalancers/{id}/failover"),
        (
            "policy check --rule loadbalancer:put --roles member --project p",
            0,
            "allowed: os_load-balancer_api:",
        ),
        ("policy check --rule loadbalancer:put --roles member --project p --target-project q", 1, "denied: "),
        ("policy check --rule loadbalancer:put --roles reader --project p", 1, "no             role:member"),
        ("policy check --rule loadbalancer:put --roles load-balancer_member --project p", 1, "denied: "),
        (
            "policy check --rule loadbalancer:put --roles load-balancer_member --project p --config-file octavia.conf",
            0,
            "allowed: ",
        ),
        ("policy check --rule flavor:post --roles admin --config-file octavia.conf", 1, "role:seller"),
        ("policy check --rule flavor:post --roles seller --config-file octavia.conf", 0, "allowed: "),
        (
            "policy check --rule context_is_admin --roles admin --system-scope all",
            1,
            "the scope project; this one",
        ),
        ("policy check --rule loadbalancer:fly --roles admin", 1, "there is no such rule"),
        (
            "policy check --rule flavor:post --config-file broken.conf",
            1,
            "broken:2: rule \"b\": it ends where a check was expected",
        ),
    ] {
        let output =
            Command::new(binary()).current_dir(dir.path()).args(words.split_whitespace()).output()?;
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.code() == Some(code) && text.contains(wanted),
            "{words}: {}\n{text}",
            output.status
        );
    }
    let words =
        ["all-in-one", "--bind", "127.0.0.1:0", "--config-file", "broken.conf", "--state-dir", "state"];
    let output = Command::new(binary()).current_dir(dir.path()).args(words).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && text.contains("broken:2: rule \"b\": it ends"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_file_applies_when_it_changes() -> Result<()> {
    let dir = directory()?;
    let (conf, policy) = (dir.path().join("octavia.conf"), dir.path().join("policy.yaml"));
    std::fs::write(&conf, "")?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), conf.into()];
    let world = World::start_with(dir, options).await?;
    let (url, token) = (world.product.url(), world.rest.token());
    let becomes = async |wanted: u16| {
        wait_for("the new rules", LIMIT, async || match status(&url, &token).await {
            Ok((found, _)) if found == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    };
    // At once: an empty file has rules, too, if it is looked at in between.
    let write = |text: &str| {
        let new = policy.with_extension("new");
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &policy))
    };
    becomes(200).await?;
    write("\"os_load-balancer_api:flavor:get_all\": \"!\"\n")?;
    becomes(403).await?;
    // Broken, it changes nothing, and the log says where.
    write("\n\"os_load-balancer_api:flavor:get_all\": \"role:\n")?;
    wait_for("a complaint", LIMIT, async || match world.product.log_tail() {
        log if log.contains("policy.yaml:") && log.contains("the old rules stay in force") => Ok(()),
        log => Err(log),
    })
    .await?;
    ensure!(status(&url, &token).await?.0 == 403);
    write("\"os_load-balancer_api:flavor:get_all\": \"role:member\"\n")?;
    becomes(200).await
}

/// The password of the administrator of an embedded cloud.
fn admin_password(clouds_yaml: &Path) -> Result<String> {
    let text = std::fs::read_to_string(clouds_yaml)?;
    let line = text.lines().skip_while(|line| !line.trim().starts_with("admin:"));
    let password = line.filter_map(|line| line.trim().strip_prefix("password:")).next();
    Ok(password.context("a password")?.trim().trim_matches(['\'', '"']).to_owned())
}

/// One product as the Keystone of another.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_those_of_the_keystone_that_is_configured() -> Result<()> {
    let dir = directory()?;
    let there = AllInOne::start(AllInOneOptions::new(binary(), dir.path().join("there"))?).await?;
    let conf = dir.path().join("octavia.conf");
    let text = format!(
        "[keystone_authtoken]\nwww_authenticate_uri = http://keystone.test:5000\nauth_url = {}/identity\n\
         auth_type = password\nusername = admin\npassword = {}\nuser_domain_name = Default\nproject_name = admin\n\
         project_domain_name = Default\nhttp_request_max_retries = 0\n",
        there.url(),
        admin_password(&there.clouds_yaml())?
    );
    std::fs::write(&conf, text)?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("here"))?;
    options.arguments = vec!["--config-file".into(), conf.into()];
    let here = AllInOne::start(options).await?;

    let theirs = Rest::login(&there.clouds_yaml(), "demo").await?.token();
    let other = Rest::login(&there.clouds_yaml(), "demo").await?.token();
    let ours = Rest::login(&here.clouds_yaml(), "demo").await?.token();
    ensure!(status(&here.url(), &theirs).await?.0 == 200);
    let (code, challenge) = status(&here.url(), &ours).await?;
    ensure!(code == 401 && challenge == "Keystone uri=\"http://keystone.test:5000\"", "{code} {challenge}");

    drop(there);
    ensure!(status(&here.url(), &theirs).await?.0 == 200, "it is believed for a while");
    let (code, body) = status(&here.url(), &other).await?;
    ensure!(code == 503 && body.contains("The identity service could not be asked"), "{code} {body}");
    Ok(())
}
