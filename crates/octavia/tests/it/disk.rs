//! What a full disk must not take with it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use octavia_testkit::wait_for;

use crate::world::{LIMIT, binary};

/// Every line of its log fails; who complained of that in the same place would panic.
#[tokio::test]
async fn a_proxy_whose_log_has_no_space_serves_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let mut proxy = Command::new(binary())
        .args(["proxy", "--threads", "1", "--log", "info", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::null())
        .stdout(full.try_clone()?)
        .stderr(full)
        .spawn()?;
    let outcome = async {
        for _ in 0..3 {
            let path = dir.path().join("proxy.sock");
            let mut line = wait_for("the proxy listens", LIMIT, async || {
                UnixStream::connect(&path).map_err(|error| error.to_string())
            })
            .await?;
            line.set_read_timeout(Some(LIMIT))?;
            // It says in its log why it hangs up.
            line.write_all(b"\xff\xff\xff\xffnonsense")?;
            ensure!(matches!(line.read(&mut [0; 1]), Ok(0) | Err(_)));
        }
        ensure!(proxy.try_wait()?.is_none(), "it has ended");
        anyhow::Ok(())
    }
    .await;
    let _ = proxy.kill();
    proxy.wait()?;
    outcome
}
