//! Loopback ports for servers that a test starts.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};

/// A port of `ip` nobody listens on, below the ephemeral range so that no outgoing connection takes it before the
/// server does. Starts at a place that depends on the process, so that tests side by side do not meet.
pub fn free_port(ip: IpAddr) -> Result<u16> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);

    const FIRST: u32 = 12_000;
    const COUNT: u32 = 18_000;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (std::process::id().wrapping_mul(611) + step) % COUNT;
        let port = u16::try_from(port).context("port")?;
        if TcpListener::bind((ip, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port on {ip}")
}

/// `127.0.0.1` with a free port.
pub fn free_address() -> Result<SocketAddr> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Ok(SocketAddr::new(ip, free_port(ip)?))
}
