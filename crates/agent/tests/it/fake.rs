//! A proxy that misbehaves as a script says: the agent's view of one that dies, hangs up or raves at each stage.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use octavia_wire::channel::{FrameReader, FrameWriter, SocketPath};
use octavia_wire::{ProcessId, ProxyCommand, ProxyEvent, ProxyReport, SocketName, files};

/// If there is such a file, the proxy is this one. In it are lines `COMMAND DEED`, done one after the other whenever
/// their command comes first; what else comes is answered as it should be.
pub(crate) const SCRIPT: &str = "script";

/// The deed that is due for this command, taken off the script.
fn deed(script: &Path, command: &str) -> Option<String> {
    let text = std::fs::read_to_string(script).unwrap();
    let (first, rest) = text.split_once('\n')?;
    let deed = first.strip_prefix(command)?.trim().to_owned();
    // Whole or not at all: the test reads it, too.
    let new = script.with_extension("new");
    std::fs::write(&new, rest).and_then(|()| std::fs::rename(&new, script)).unwrap();
    Some(deed)
}

struct Fake {
    script: PathBuf,
    boot: uuid::Uuid,
    running: (u64, u64),
    held: BTreeMap<SocketName, Arc<OwnedFd>>,
}

/// Until it is killed, or its script says so.
pub(crate) fn run(dir: &Path, suffix: &str) {
    let file = |name: &str| dir.join(format!("{name}{suffix}"));
    ProcessId::current().unwrap().write(&file(files::PROXY_PID)).unwrap();
    let path = file(files::PROXY_SOCKET);
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(SocketPath::new(&path).unwrap().as_path()).unwrap();
    let mut fake =
        Fake { script: dir.join(SCRIPT), boot: uuid::Uuid::new_v4(), running: (0, 0), held: BTreeMap::new() };
    loop {
        let (stream, _) = listener.accept().unwrap();
        // Whoever hangs up, or is hung up on, may come again.
        let _ = fake.converse(&stream);
    }
}

impl Fake {
    fn converse(&mut self, stream: &UnixStream) -> Option<()> {
        let mut reader = FrameReader::default();
        loop {
            let Some(command) = reader.message::<ProxyCommand>().ok()? else {
                if !reader.fill(stream).ok()? {
                    return None;
                }
                continue;
            };
            let name = match &command {
                ProxyCommand::Hello => "hello",
                ProxyCommand::Configure { .. } => "configure",
                ProxyCommand::Report => "report",
                ProxyCommand::Drain { .. } => std::process::abort(),
                _ => "succession",
            };
            let deed = deed(&self.script, name);
            let deed = deed.as_deref().unwrap_or("answer");
            match deed {
                "die" => std::process::abort(),
                "hang-up" => return None,
                "silence" => loop {
                    std::thread::park();
                },
                "rave" => (&*stream).write_all(b"\0\0\0\x16{\"event\":\"explosion!\"}").ok()?,
                "boast" => (&*stream).write_all(b"\xff\xff\xff\xff").ok()?,
                "half" => {
                    (&*stream).write_all(b"\0\0\0\x16{\"event\"").ok()?;
                    return None;
                }
                "mistake" => {
                    let refused = ProxyEvent::Refused { generation: 0, error: String::new(), faults: vec![] };
                    let report = ProxyEvent::Report(Box::default());
                    self.say(stream, &if name == "report" { refused } else { report }, vec![])?;
                }
                "refuse" => {
                    let refused =
                        ProxyEvent::Refused { generation: 0, error: "as I like".to_owned(), faults: vec![] };
                    self.say(stream, &refused, vec![])?;
                }
                _ => {}
            }
            if !matches!(deed, "answer" | "twice" | "forget" | "late") {
                continue;
            }
            let (event, fds) = match command {
                ProxyCommand::Configure { spec, sockets, keep, .. } => {
                    let fds = reader.take_fds(sockets.len()).ok()?.into_iter().map(Arc::new);
                    self.held.retain(|name, _| keep.contains(name));
                    self.held.extend(sockets.into_iter().zip(fds));
                    self.running = spec.precedence();
                    (ProxyEvent::Applied { generation: spec.generation, fence: spec.fence }, vec![])
                }
                ProxyCommand::Hello => self.hello(),
                ProxyCommand::Inherit(_) => (ProxyEvent::Inherited, vec![]),
                _ => {
                    let report = ProxyReport { generation: self.running.1, ..ProxyReport::default() };
                    (ProxyEvent::Report(Box::new(report)), vec![])
                }
            };
            match deed {
                "forget" => return None,
                "late" => std::process::abort(),
                "twice" => self.say(stream, &event, fds.clone())?,
                _ => {}
            }
            self.say(stream, &event, fds)?;
        }
    }

    fn hello(&self) -> (ProxyEvent, Vec<Arc<OwnedFd>>) {
        let (sockets, fds) = self.held.iter().map(|(name, fd)| (*name, Arc::clone(fd))).unzip();
        let (fence, generation) = self.running;
        let pid = std::process::id();
        let process = self.boot;
        (
            ProxyEvent::Hello {
                boot: self.boot,
                pid,
                threads: 2,
                generation,
                fence,
                sockets,
                logs: false,
                process,
                shares: false,
            },
            fds,
        )
    }

    fn say(&self, stream: &UnixStream, event: &ProxyEvent, fds: Vec<Arc<OwnedFd>>) -> Option<()> {
        FrameWriter::new(event, fds).unwrap().flush(stream).ok()
    }
}
