//! openstacksdk, unmodified.

use anyhow::{Result, ensure};

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
