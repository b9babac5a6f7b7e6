//! What a new amphora's server is given before it starts.

use octavia_cloud::{BootFile, CloudError, IssuedCert};
use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_wire::BootConfig;

use crate::BootOptions;

const SERVER_CERT: &str = "server.pem";
const CLIENT_CA: &str = "client-ca.pem";

/// The files of one amphora: its configuration, its certificate with key, and whom it believes.
pub(crate) fn boot_files(
    amphora: AmphoraId,
    load_balancer: LoadBalancerId,
    cert: &IssuedCert,
    authority: &str,
    options: &BootOptions,
) -> Result<Vec<BootFile>, CloudError> {
    let config = BootConfig {
        amphora_id: amphora,
        load_balancer_id: Some(load_balancer),
        controllers: options.controllers.clone(),
        heartbeat_interval_ms: u32::try_from(options.heartbeat_interval.as_millis()).unwrap_or(u32::MAX),
        heartbeat_key: options.heartbeat_key.reveal().to_owned(),
        server_cert: SERVER_CERT.into(),
        client_ca: CLIENT_CA.into(),
        controller_name: options.controller_name.clone(),
        proxy_threads: options.proxy_threads,
    };
    let json = serde_json::to_vec_pretty(&config).map_err(|error| CloudError::internal(error.to_string()))?;
    let file = |name: &str, content: Vec<u8>| BootFile { name: name.to_owned(), content };
    Ok(vec![
        file(BootConfig::FILE, json),
        file(SERVER_CERT, format!("{}\n{}", cert.chain.trim_end(), cert.key).into_bytes()),
        file(CLIENT_CA, authority.as_bytes().to_vec()),
    ])
}
