//! The embedded local cloud alone: `cargo run -p octavia-cloud --example local_cloud -- DIR 127.0.0.1:9877`, then
//! `OS_CLIENT_CONFIG_FILE=DIR/clouds.yaml openstack --os-cloud demo network list`.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use octavia_cloud::local::{IDENTITY_PATH, LocalCloud, LocalOptions, NETWORK_PATH, SECRETS_PATH};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: local_cloud DIR ADDRESS:PORT";
    let dir = PathBuf::from(arguments.next().ok_or(usage)?);
    let bind: SocketAddr = arguments.next().ok_or(usage)?.parse()?;

    let listener = tokio::net::TcpListener::bind(bind).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let cloud = LocalCloud::open(&dir, LocalOptions { url: url.clone(), ..Default::default() })?;
    cloud.clouds_yaml(&format!("{url}{IDENTITY_PATH}"))?;
    let router = Router::new()
        .nest_service(IDENTITY_PATH, cloud.identity_router())
        .nest_service(NETWORK_PATH, cloud.network_router())
        .nest_service(SECRETS_PATH, cloud.secrets_router());
    axum::serve(listener, router).await?;
    Ok(())
}
