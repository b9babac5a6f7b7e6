//! The access log: a line for each finished request, and for each connection that was carried unseen.
//!
//! A traffic thread makes its lines in memory of its own ([`Pen`]), and gives them to the targets ([`Outlet`]) at the end of
//! each round of events. Each target has a thread that writes, and that may wait as long as it has to; a traffic thread
//! never does: when there is no room left, lines are dropped and counted, and the log says how many where they are
//! missing. Without a log all of this is one look at an `Option` a request.

mod ending;
mod escape;
mod line;
mod outlet;
mod pen;
mod sink;
mod syslog;
#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use octavia_model::{AmphoraId, LoadBalancerId};
use octavia_wire::{AccessLogFault, AccessLogSpec, AmphoraSpec, LogTarget};

pub(crate) use self::ending::{Brought, Cause, Cookie, Ending, Given, Phase};
pub(crate) use self::line::{Asked, Facts, METHOD_MAX, Style, TARGET_MAX};
pub(crate) use self::outlet::{LogCounters, LogTotals};
use self::outlet::{Opened, Outlet};
pub(crate) use self::pen::Pen;

/// What a configuration says of the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LogConf {
    style: Style,
    targets: Vec<LogTarget>,
    amphora: AmphoraId,
}

impl LogConf {
    /// `None` = there is none.
    pub(crate) fn compile(spec: &AmphoraSpec) -> Result<Option<Self>, AccessLogFault> {
        let Some(log) = spec.access_log.as_ref().filter(|log| !log.targets.is_empty()) else {
            return Ok(None);
        };
        let style = style(log, spec.load_balancer_id)?;
        Ok(Some(Self { style, targets: log.targets.clone(), amphora: spec.amphora_id }))
    }
}

fn style(log: &AccessLogSpec, load_balancer: LoadBalancerId) -> Result<Style, AccessLogFault> {
    Ok(Style::new(log.format()?, &log.project_id, load_balancer))
}

/// The log that is written now: a configuration and its open targets.
#[derive(Debug)]
pub(crate) struct AccessLog {
    conf: Arc<LogConf>,
    outlets: Vec<Arc<Outlet>>,
}

impl AccessLog {
    /// The log after `before`, for `threads` traffic threads: targets that stay go on, with what is `opened` of them now.
    pub(crate) fn follow(
        before: Option<&Arc<Self>>,
        conf: Option<&Arc<LogConf>>,
        opened: Vec<(LogTarget, OwnedFd)>,
        threads: usize,
        counters: &Arc<LogCounters>,
    ) -> std::io::Result<Option<Arc<Self>>> {
        let Some(conf) = conf else { return Ok(None) };
        let mut outlets = vec![];
        for target in &conf.targets {
            let same = before.and_then(|log| log.outlets.iter().find(|outlet| outlet.target == *target));
            let outlet = match same {
                Some(outlet) => Arc::clone(outlet),
                None => Outlet::start(target.clone(), conf.amphora, threads, Arc::clone(counters))?,
            };
            outlets.push(outlet);
        }
        for (target, fd) in opened {
            if let Some(outlet) = outlets.iter().find(|outlet| outlet.target == target) {
                outlet.open(Opened(fd));
            }
        }
        let same = before.filter(|log| log.conf == *conf);
        Ok(Some(same.map_or_else(|| Arc::new(Self { conf: Arc::clone(conf), outlets }), Arc::clone)))
    }

    /// Ends the targets that are none of `after`, once they have written what they were given.
    pub(crate) fn end(&self, after: Option<&Self>) {
        for outlet in &self.outlets {
            let stays = after.is_some_and(|log| log.outlets.iter().any(|other| Arc::ptr_eq(other, outlet)));
            if !stays {
                outlet.close();
            }
        }
    }

    /// Waits a moment until they have.
    pub(crate) fn settle(&self) {
        self.outlets.iter().for_each(|outlet| outlet.settle());
    }
}
