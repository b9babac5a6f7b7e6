//! What the access log is written to: opened here, where the privileges are, and handed to the proxy. What a path leads to
//! is looked at now and then: a file that was renamed, or a daemon that was started anew, is opened again.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use octavia_wire::{AmphoraSpec, LogPlace, LogTarget};

/// How often paths are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// What the proxy has, by its target.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    told: Vec<(LogTarget, LogPlace)>,
    /// Of these it was said that they cannot be opened.
    failing: Vec<LogTarget>,
}

/// What was opened, for the proxy to be told.
#[derive(Debug, Default)]
pub(crate) struct Opened(Vec<(LogTarget, LogPlace, Arc<OwnedFd>)>);

impl Opened {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (LogTarget, Arc<OwnedFd>)> {
        self.0.iter().map(|(target, _, fd)| (target.clone(), Arc::clone(fd)))
    }
}

fn wanted(spec: &AmphoraSpec) -> impl Iterator<Item = &LogTarget> {
    spec.access_log.iter().flat_map(|log| &log.targets).filter(|target| target.is_opened())
}

impl Logs {
    /// Whether paths have to be looked at.
    pub(crate) fn is_wanted(spec: Option<&AmphoraSpec>) -> bool {
        spec.is_some_and(|spec| wanted(spec).next().is_some())
    }

    /// Another proxy has nothing.
    pub(crate) fn forget(&mut self) {
        self.told.clear();
    }

    /// Whether the proxy does not have what a path of the spec leads to.
    pub(crate) fn is_behind(&self, spec: &AmphoraSpec, dir: &Path) -> bool {
        wanted(spec).any(|target| !self.has(target, dir))
    }

    /// Opens what the proxy does not have. What cannot be opened is said once, and tried again with the next look.
    pub(crate) fn open(&mut self, spec: &AmphoraSpec, dir: &Path) -> Opened {
        self.told.retain(|(target, _)| wanted(spec).any(|wanted| wanted == target));
        self.failing.retain(|target| wanted(spec).any(|wanted| wanted == target));
        let mut opened = vec![];
        let missing: Vec<_> = wanted(spec).filter(|target| !self.has(target, dir)).collect();
        for target in missing {
            let failed = self.failing.iter().position(|failing| failing == target);
            match (LogPlace::open(target, dir), failed) {
                (Ok((place, fd)), _) => {
                    if let Some(at) = failed {
                        self.failing.swap_remove(at);
                    }
                    opened.push((target.clone(), place, Arc::new(fd)));
                }
                (Err(error), None) => {
                    tracing::warn!(?target, %error, "the access log cannot be opened: lines wait, and are dropped then");
                    self.failing.push(target.clone());
                }
                (Err(_), Some(_)) => {}
            }
        }
        Opened(opened)
    }

    /// The proxy has these now.
    pub(crate) fn told(&mut self, opened: Opened) {
        for (target, place, _) in opened.0 {
            self.told.retain(|(other, _)| *other != target);
            self.told.push((target, place));
        }
    }

    fn has(&self, target: &LogTarget, dir: &Path) -> bool {
        let told = self.told.iter().find(|(other, _)| other == target);
        told.is_some_and(|(_, place)| LogPlace::of(target, dir) == Some(*place))
    }
}
