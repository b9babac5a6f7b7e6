//! One server's directory: what it holds, and what can be told of the server by looking.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use octavia_model::AmphoraId;
use octavia_wire::{ProcessId, files};

use super::address::Addresses;
use super::process::runs;
use crate::local::files::{UNFINISHED, dir_private, file_read, file_swap, path_remove};
use crate::local::netns::HostNumber;
use crate::{BootFile, CloudError, Server, ServerState};

/// The agent's management address, a line of text.
const ADDRESS: &str = "address";
/// The name of the host it is on, where there are hosts, a line of text.
const HOST: &str = "host";
/// The [`ProcessId`] we spawned, until the agent says its own.
const START_PID: &str = "start.pid";
/// What the agent writes to its standard output and error.
const LOG: &str = "agent.log";
/// The log before the last trim.
const LOG_OLD: &str = "agent.log.1";
/// A log larger than this, in bytes, is trimmed: moved to [`LOG_OLD`].
const LOG_MAX: u64 = 1 << 20;
/// Where every agent listens.
const AGENT_PORT: u16 = 9443;
/// Names that are ours or the agent's, whatever a request says.
const RESERVED: &[&str] = &[
    ADDRESS,
    HOST,
    START_PID,
    LOG,
    LOG_OLD,
    files::AGENT_PID,
    files::PROXY_PID,
    files::AGENT_LOCK,
    files::PROXY_LOCK,
    files::PROXY_SOCKET,
    files::PROXY_LOG,
    files::SPEC,
];

/// Boot files are plain names: nothing leaves the directory.
pub(super) fn boot_files_check(boot_files: &[BootFile]) -> Result<(), CloudError> {
    for BootFile { name, .. } in boot_files {
        let plain = !name.is_empty()
            && name.len() <= 100
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // With something after a dot, too: what is being written, or of a proxy beside the one that serves.
        let is_taken = RESERVED
            .iter()
            .any(|ours| name.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')));
        if !plain || name.ends_with(UNFINISHED) || is_taken {
            return Err(CloudError::refused(format!("{name:?} cannot be the name of a boot file")));
        }
    }
    Ok(())
}

#[derive(Debug, Clone)]
pub(super) struct ServerDir {
    path: PathBuf,
    amphora: AmphoraId,
}

impl ServerDir {
    pub(super) fn new(root: &Path, amphora: AmphoraId) -> Self {
        Self { path: root.join(amphora.to_string()), amphora }
    }

    /// Every directory that is named like an amphora.
    pub(super) fn list(root: &Path) -> io::Result<Vec<Self>> {
        let mut found = vec![];
        for entry in fs::read_dir(root)? {
            let name = entry?.file_name();
            if let Some(amphora) = name.to_str().and_then(|name| name.parse().ok()) {
                found.push(Self::new(root, amphora));
            }
        }
        Ok(found)
    }

    pub(super) fn amphora(&self) -> AmphoraId {
        self.amphora
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn exists(&self) -> bool {
        // When it cannot be told, the steps that follow find out why.
        self.path.try_exists().unwrap_or(true)
    }

    pub(super) fn address(&self) -> io::Result<Option<Ipv4Addr>> {
        Ok(file_read(&self.path.join(ADDRESS), 64)?.and_then(|text| text.trim_end().parse().ok()))
    }

    pub(super) fn host(&self) -> io::Result<Option<HostNumber>> {
        Ok(file_read(&self.path.join(HOST), 64)?.and_then(|text| text.trim_end().parse().ok()))
    }

    /// Of a server whose directory is there.
    pub(super) fn host_set(&self, host: HostNumber) -> io::Result<()> {
        file_swap(&self.path.join(HOST), format!("{host}\n").as_bytes())
    }

    /// `None` = there is no such server. Of its host nothing is said.
    pub(super) fn look(&self) -> io::Result<Option<Server>> {
        if !self.path.try_exists()? {
            return Ok(None);
        }
        let state = if self.agent()?.is_some() {
            ServerState::Running
        } else if self.starting()?.is_some() {
            ServerState::Building
        } else {
            ServerState::Stopped
        };
        Ok(Some(Server {
            amphora_id: self.amphora,
            compute_id: self.amphora.to_string(),
            state,
            agent: self.address()?.map(|address| SocketAddr::from((address, AGENT_PORT))),
            vip_subnet_port: None,
            ports: vec![],
            host: None,
            zone: None,
        }))
    }

    /// The living agent that holds the directory.
    pub(super) fn agent(&self) -> io::Result<Option<ProcessId>> {
        self.process(files::AGENT_PID, "amphora")
    }

    /// The living process that was spawned to become the agent.
    pub(super) fn starting(&self) -> io::Result<Option<ProcessId>> {
        self.process(START_PID, "amphora")
    }

    pub(super) fn proxy(&self) -> io::Result<Option<ProcessId>> {
        self.process(files::PROXY_PID, "proxy")
    }

    fn process(&self, file: &str, role: &str) -> io::Result<Option<ProcessId>> {
        match ProcessId::read(&self.path.join(file))? {
            Some(id) if runs(id, role, &self.path)? => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    /// Everything the agent needs, before it is started. A loss of power ends the processes too, and the server is
    /// made again from the request; so nothing here waits for the disk.
    pub(super) fn make(
        &self,
        boot_files: &[BootFile],
        addresses: &Mutex<Addresses>,
    ) -> Result<(), CloudError> {
        let trouble = |error: io::Error| {
            CloudError::unavailable(format!("cannot prepare the server of amphora {}: {error}", self.amphora))
        };
        dir_private(&self.path).map_err(trouble)?;
        if self.address().map_err(trouble)?.is_none() {
            let address = addresses
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next()
                .ok_or_else(|| CloudError::unavailable("no management address is free"))?;
            file_swap(&self.path.join(ADDRESS), format!("{address}\n").as_bytes()).map_err(|error| {
                addresses.lock().unwrap_or_else(PoisonError::into_inner).give_back(address);
                trouble(error)
            })?;
        }
        for BootFile { name, content } in boot_files {
            let path = self.path.join(name);
            if fs::read(&path).ok().as_ref() != Some(content) {
                file_swap(&path, content).map_err(trouble)?;
            }
        }
        Ok(())
    }

    /// Spawns the agent, in the network namespace of the current thread. Must be called within the
    /// runtime, which reaps it. `traffic` = the namespace in which it carries traffic, if that is another.
    pub(super) fn start(&self, exe: &Path, traffic: Option<&Path>) -> io::Result<()> {
        let address = self.address()?.ok_or_else(|| io::Error::other("it has no address"))?;
        self.log_trim();
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path.join(LOG))?;
        let mut command = std::process::Command::new(exe);
        command
            .arg("amphora")
            .arg("--dir")
            .arg(&self.path)
            .arg("--bind")
            .arg(SocketAddr::from((address, AGENT_PORT)).to_string())
            .args(traffic.into_iter().flat_map(|path| [OsStr::new("--traffic-namespace"), path.as_os_str()]))
            .current_dir(&self.path)
            // Credentials that the user's shell holds are none of an amphora's business.
            .env_clear()
            .envs(
                ["PATH", "RUST_LOG", "RUST_BACKTRACE"].iter().filter_map(|k| Some((k, std::env::var_os(k)?))),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // It makes itself a session, which the leader of a process group could not.
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", exe.display())))?;
        if let Some(id) = child.id().and_then(|pid| ProcessId::of(pid).transpose()).transpose()? {
            id.write(&self.path.join(START_PID))?;
        }
        let amphora = self.amphora;
        tokio::spawn(async move {
            match child.wait().await {
                Ok(status) => tracing::info!(%amphora, %status, "agent ended"),
                Err(error) => tracing::warn!(%amphora, %error, "agent not reaped"),
            }
        });
        Ok(())
    }

    /// Keeps the log bounded. Its writer appends, so cutting it under the writer is safe.
    pub(super) fn log_trim(&self) {
        let path = self.path.join(LOG);
        let trim = || -> io::Result<()> {
            if fs::metadata(&path)?.len() > LOG_MAX {
                fs::copy(&path, self.path.join(LOG_OLD))?;
                OpenOptions::new().write(true).open(&path)?.set_len(0)?;
            }
            Ok(())
        };
        match trim() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(amphora = %self.amphora, %error, "log not trimmed");
            }
            _ => {}
        }
    }

    /// Under another name first: what is half removed is not a server.
    pub(super) fn remove(&self) -> io::Result<()> {
        let mut gone = self.path.as_os_str().to_owned();
        gone.push(UNFINISHED);
        path_remove(Path::new(&gone))?;
        match fs::rename(&self.path, &gone) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome?,
        }
        path_remove(Path::new(&gone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_files_have_plain_names() {
        for (name, good) in [
            ("boot.json", true),
            ("server_cert-1.pem", true),
            ("", false),
            (".", false),
            ("..", false),
            (".hidden", false),
            ("../x", false),
            ("a/b", false),
            ("/etc/passwd", false),
            ("a\0b", false),
            ("agent.pid", false),
            ("proxy.sock.next", false),
            ("proxy.socket", true),
            ("address", false),
            ("boot.json.tmp", false),
            (&"x".repeat(101), false),
        ] {
            let files = [BootFile { name: name.into(), content: vec![] }];
            assert_eq!(boot_files_check(&files).is_ok(), good, "{name:?}");
        }
    }
}
