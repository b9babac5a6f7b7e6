//! What a new amphora's server is given before it starts.

use octavia_cloud::{BootFile, CloudError};
use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_wire::{BootConfig, Papers, PapersReport};

use crate::BootOptions;

const SERVER_CERT: &str = "server.pem";
const CLIENT_CA: &str = "client-ca.pem";

/// The files of one amphora: its configuration, its certificate with key, and whom it believes.
pub(crate) fn boot_files(
    amphora: AmphoraId,
    load_balancer: Option<LoadBalancerId>,
    papers: &Papers,
    options: &BootOptions,
) -> Result<Vec<BootFile>, CloudError> {
    let config = BootConfig {
        amphora_id: amphora,
        load_balancer_id: load_balancer,
        controllers: options.controllers.clone(),
        heartbeat_interval_ms: u32::try_from(options.heartbeat_interval.as_millis()).unwrap_or(u32::MAX),
        heartbeat_key: papers.heartbeat_key.clone(),
        server_cert: SERVER_CERT.into(),
        client_ca: CLIENT_CA.into(),
        controller_name: options.controller_name.clone(),
        proxy_threads: options.proxy_threads,
        papers: PapersReport { fence: papers.fence, mark: papers.mark.clone() },
    };
    let json = serde_json::to_vec_pretty(&config).map_err(|error| CloudError::internal(error.to_string()))?;
    let file = |name: &str, content: Vec<u8>| BootFile { name: name.to_owned(), content };
    Ok(vec![
        file(BootConfig::FILE, json),
        file(SERVER_CERT, papers.server_cert.as_bytes().to_vec()),
        file(CLIENT_CA, papers.client_ca.as_bytes().to_vec()),
    ])
}
