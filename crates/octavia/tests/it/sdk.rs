//! openstacksdk, unmodified.

use anyhow::{Context as _, Result, ensure};

use crate::world::{World, cloud_command, origins, output, venv_program};

#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_openstacksdk() -> Result<()> {
    let world = World::start().await?;
    let origins = origins(3)?;
    let python = venv_program("python")?;
    let mut command = cloud_command(&python, &world.product);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sdk.py"));
    for origin in &origins {
        command.arg(origin.address().ip().to_string()).arg(origin.address().port().to_string());
    }
    let text = output(&mut command)?;
    ensure!(text.ends_with("good\n"), "{text}");
    Ok(())
}

/// All methods for load balancing, with what they are to return and raise; and the page that says so.
#[tokio::test(flavor = "multi_thread")]
async fn every_method() -> Result<()> {
    let world = World::start_noop().await?;
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk/methods.txt");
    let judge = |option: Option<&str>| {
        let python = venv_program("python")?;
        let mut command = cloud_command(&python, &world.product);
        command.arg(cases.replace(".txt", ".py")).arg(cases).args(option);
        command.output().context("python")
    };
    let judged = judge(None)?;
    let said = String::from_utf8_lossy(&judged.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&judged.stderr).into_owned();
    eprintln!("{said}");
    ensure!(judged.status.success(), "{said}{trouble}");

    let table = String::from_utf8(judge(Some("--table"))?.stdout)?;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sdk.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(page, &table)?;
    }
    ensure!(std::fs::read_to_string(page)? == table, "docs/sdk.md is old: run this test with UPDATE_DOCS=1");
    Ok(())
}
