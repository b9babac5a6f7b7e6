//! `octavia db`, as an operator uses it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use octavia_testkit::AllInOneOptions;
use serde_json::json;

use crate::world::{LIMIT, World, binary, origins, serving};

fn copy(from: &str, to: &str) -> Result<Output> {
    Ok(Command::new(binary()).args(["db", "copy", "--from", from, "--to", to]).output()?)
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_goes_on_with_the_copy() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let [config, old, new]: [PathBuf; 3] =
        ["octavia.conf", "old.db", "new.db"].map(|name| dir.path().join(name));
    let use_database = |path: &Path| {
        std::fs::write(&config, format!("[database]\nconnection = sqlite:///{}\n", path.display()))
    };
    use_database(&old)?;
    let mut options = AllInOneOptions::new(binary(), dir.path().join("state"))?;
    options.arguments = vec!["--config-file".into(), config.clone().into()];
    let mut world = World::start_with(dir, options).await?;
    let origins = origins(2)?;
    let lb = world.http_lb("moved", &origins, None).await?;
    let refused = copy(&url(&old), &url(&new))?;
    ensure!(refused.status.code() == Some(1), "{}", said(&refused));
    ensure!(said(&refused).contains("a service is using the database of --from"), "{}", said(&refused));
    ensure!(!new.exists(), "a refused copy leaves nothing behind");
    let elsewhere = url(&config.with_file_name("meanwhile.db"));
    let done = Command::new(binary())
        .args(["db", "copy", "--in-use", "--from", &url(&old), "--to", &elsewhere])
        .output()?;
    ensure!(done.status.success(), "{}", said(&done));
    world.product.stop(LIMIT).await?;

    let done = copy(&url(&old), &url(&new))?;
    ensure!(done.status.success(), "{}", said(&done));
    ensure!(said(&done).contains("each was read again and is the same"), "{}", said(&done));
    ensure!(!new.with_extension("db-wal").exists(), "the file alone is the copy");
    ensure!(std::fs::metadata(&new)?.permissions().mode() & 0o777 == 0o600, "it is its owner's alone");
    let again = copy(&url(&old), &url(&new))?;
    ensure!(again.status.code() == Some(1), "{}", said(&again));
    ensure!(said(&again).contains("is not empty"), "{}", said(&again));
    std::fs::remove_file(&old)?;

    use_database(&new)?;
    world.product.restart().await?;
    serving(lb.vip).await?;
    let members = world.rest.get(&lb.members_path()).await?;
    let member = members["members"][0]["id"].as_str().unwrap_or_default().to_owned();
    let path = format!("{}/{member}", lb.members_path());
    world.rest.put(&path, &json!({"member": {"weight": 7}})).await?;
    world.rest.lb_active(&lb.id, LIMIT).await?;
    Ok(())
}

/// Nothing beats there: what shows is that workers go on looking.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_amphorae_is_noticed() -> Result<()> {
    let world = World::start_noop().await?;
    let subnet = world.subnet_id.clone();
    for _ in 0..3 {
        let lb = world.rest.lb_create(&json!({"vip_subnet_id": subnet})).await?;
        world.rest.lb_active(&octavia_testkit::rest::text(&lb["id"])?, LIMIT).await?;
    }
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let new = dir.path().join("new.db");
    let refused = copy(&url(&world.product.state_dir().join("octavia.db")), &url(&new))?;
    ensure!(refused.status.code() == Some(1), "{}", said(&refused));
    ensure!(said(&refused).contains("a service is using the database of --from"), "{}", said(&refused));
    ensure!(std::fs::read_dir(dir.path())?.next().is_none(), "a refused copy leaves nothing behind");
    Ok(())
}

#[test]
fn what_cannot_be_copied_is_said() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("octavia-it-").tempdir()?;
    let at = |name: &str| url(&dir.path().join(name));
    std::fs::write(
        dir.path().join("text.db"),
        "no database, but long enough to be taken for one".repeat(99),
    )?;
    std::fs::write(dir.path().join("empty.db"), "")?;
    for (from, to, wanted) in [
        (at("none.db"), at("new.db"), "the database of --from cannot be used"),
        (at("text.db"), at("new.db"), "file is not a database"),
        (at("empty.db"), at("new.db"), "another schema than this version: it has none"),
        (at("empty.db"), "sqlite::memory:".to_owned(), "a database in memory ends with the copy"),
        ("oracle://u:QzX7@h/d".to_owned(), at("new.db"), "no such kind of database"),
        ("u:QzX7@h".to_owned(), at("new.db"), "not a URL"),
        ("mysql://u:QzX7@h:33o6/d".to_owned(), at("new.db"), "invalid port number"),
        (at("empty.db"), "mysql://u:a@QzX7/c@h/d".to_owned(), "have to be written %23"),
        (at("empty.db"), at("no/new.db"), "the database of --to cannot be used"),
    ] {
        let output = copy(&from, &to)?;
        let said = said(&output);
        let clauses: Vec<_> = said.trim().split(": ").collect();
        let once: std::collections::BTreeSet<_> = clauses.iter().collect();
        ensure!(once.len() == clauses.len(), "{from} {to}: it says a thing twice: {said}");
        ensure!(output.status.code() == Some(1), "{from} {to}: {said}");
        ensure!(said.contains(wanted), "{from} {to}: {said}");
        ensure!(!said.contains("QzX7"), "{from} {to}: {said}");
        ensure!(!dir.path().join("new.db").exists(), "{from} {to}: something is left");
    }
    Ok(())
}
