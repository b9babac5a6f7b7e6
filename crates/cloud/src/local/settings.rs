//! What was decided at the first start and holds for ever: `cloud.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OpenError;
use super::files::{file_read, file_replace};
use super::netns::NetnsOptions;
use super::seed::random_text;

const FILE: &str = "cloud.json";
const VERSION: u32 = 1;

/// Of mode 0600: it holds keys, and passwords as salted hashes.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Settings {
    version: u32,
    /// N of 127.N.0.0/16.
    pub(super) network: u8,
    /// The data centre of namespaces, as it was at the last start. `None` = amphorae are on loopback.
    #[serde(default)]
    pub(super) netns: Option<NetnsOptions>,
    /// Of the ids of all that is always there.
    pub(super) seed: String,
    pub(super) token_key: String,
    /// The first one; those that are good now are in `trust.json`.
    pub(super) heartbeat_key: String,
    /// One from before there were any, or that somebody has taken out, is made anew.
    #[serde(default = "random_text::<32>")]
    pub(super) ticket_key: String,
    /// User name → password hash.
    pub(super) passwords: std::collections::BTreeMap<String, String>,
}

impl Settings {
    pub(super) fn first(network: u8, netns: Option<NetnsOptions>) -> Self {
        Self {
            version: VERSION,
            network,
            netns,
            seed: random_text::<32>(),
            token_key: random_text::<32>(),
            heartbeat_key: random_text::<32>(),
            ticket_key: random_text::<32>(),
            passwords: Default::default(),
        }
    }

    pub(super) fn load(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(FILE);
        let Some(text) = file_read(&path, 1 << 20).map_err(|error| OpenError::file(&path, error))? else {
            return Ok(None);
        };
        let settings: Self = serde_json::from_str(&text)
            .map_err(|error| OpenError::Damaged { path: path.clone(), error: error.to_string() })?;
        if settings.version != VERSION {
            return Err(OpenError::Damaged {
                path,
                error: format!("version {} is not known", settings.version),
            });
        }
        Ok(Some(settings))
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), OpenError> {
        let path = dir.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        text.and_then(|text| file_replace(&path, &text)).map_err(|error| OpenError::file(&path, error))
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("network", &self.network).finish_non_exhaustive()
    }
}
