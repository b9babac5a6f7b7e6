//! `clouds.yaml`: where OpenStack clients find us, and the only place that has the passwords in clear.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::{file_read, file_replace};
use super::identity::Passwords;
use super::{OpenError, REGION};

const FILE: &str = "clouds.yaml";
const HEAD: &str = "\
# Written at every start. Use it from this directory, or: export OS_CLIENT_CONFIG_FILE=<this file>
# Then: openstack --os-cloud demo loadbalancer list
";

#[derive(Serialize, Deserialize)]
struct Document {
    clouds: BTreeMap<String, Cloud>,
}

#[derive(Serialize, Deserialize)]
struct Cloud {
    auth_type: String,
    auth: Auth,
    region_name: String,
    identity_api_version: u8,
}

#[derive(Serialize, Deserialize)]
struct Auth {
    auth_url: String,
    username: String,
    password: String,
    project_name: String,
    user_domain_name: String,
    project_domain_name: String,
}

/// User name → password, as far as the file is there and can be read.
pub(super) fn passwords_read(dir: &Path) -> BTreeMap<String, String> {
    let text = file_read(&dir.join(FILE), 1 << 20).ok().flatten().unwrap_or_default();
    let Ok(document) = serde_norway::from_str::<Document>(&text) else { return BTreeMap::new() };
    document.clouds.into_values().map(|cloud| (cloud.auth.username, cloud.auth.password)).collect()
}

pub(super) fn write(dir: &Path, auth_url: &str, passwords: &Passwords) -> Result<PathBuf, OpenError> {
    let cloud = |user: &str, password: &str| Cloud {
        auth_type: "password".into(),
        auth: Auth {
            auth_url: auth_url.into(),
            username: user.into(),
            password: password.into(),
            project_name: user.into(),
            user_domain_name: "Default".into(),
            project_domain_name: "Default".into(),
        },
        region_name: REGION.into(),
        identity_api_version: 3,
    };
    let clouds = passwords.iter().map(|(user, password)| (user.to_owned(), cloud(user, password))).collect();
    let path = dir.join(FILE);
    serde_norway::to_string(&Document { clouds })
        .map_err(std::io::Error::other)
        .and_then(|text| file_replace(&path, format!("{HEAD}{text}").as_bytes()))
        .map_err(|error| OpenError::file(&path, error))?;
    Ok(path)
}
