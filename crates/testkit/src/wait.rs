//! Waiting for a state with a deadline: the only way tests wait.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks until the answer is `Ok(value)`, at first often and then every 100 ms; gives up after `limit` with the
/// last "not yet", so that a failed test says what it saw.
pub async fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let not_yet = match ask().await {
            Ok(value) => return Ok(value),
            Err(not_yet) => not_yet,
        };
        if start.elapsed() >= limit {
            bail!("waited {limit:?} for {what}; last seen: {not_yet}");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
