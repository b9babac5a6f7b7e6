//! What the proxy says of itself: a pure function of the configuration and the counters.

use std::collections::HashSet;

use octavia_model::ListenerId;
use octavia_wire::{
    ListenerReport, ListenerWord, MemberStats, MemberWord, PoolWord, ProxyPoolReport, ProxyReport,
};

use crate::snapshot::{ListenerConf, MemberConf, PoolConf, Snapshot};
use crate::state::Health;

/// Says how it goes, in HAProxy's words. `open` are the listeners that have a listening socket: one whose ports could
/// not be opened takes no traffic, and is left out.
pub fn report(snapshot: &Snapshot, open: &HashSet<ListenerId>) -> ProxyReport {
    let listeners = snapshot.listeners().filter(|listener| open.contains(&listener.id));
    ProxyReport {
        generation: snapshot.generation(),
        listeners: listeners.map(|listener| (listener.id, listener_report(listener))).collect(),
        pools: snapshot.pools().map(|pool| (pool.id, pool_report(pool))).collect(),
    }
}

fn listener_report(listener: &ListenerConf) -> ListenerReport {
    let stats = listener.state.stats();
    let full = listener.connection_limit.is_some_and(|limit| stats.conns >= limit.into());
    ListenerReport { status: if full { ListenerWord::Full } else { ListenerWord::Open }, stats }
}

fn pool_report(pool: &PoolConf) -> ProxyPoolReport {
    // A pool without members is not down: nothing in it is broken.
    let up = pool.members.is_empty() || pool.is_usable();
    ProxyPoolReport {
        status: if up { PoolWord::Up } else { PoolWord::Down },
        members: pool.members.iter().map(|member| (member.id, member_stats(member))).collect(),
    }
}

fn member_stats(member: &MemberConf) -> MemberStats {
    let state = &member.state;
    MemberStats {
        status: member_word(member.enabled, member.weight, state.health()),
        check: state.check(),
        active_connections: state.active(),
        total_connections: state.total_connections(),
        requests: state.requests(),
        errors: state.errors(),
    }
}

/// A drained member is called so only while it is up, as the original does.
fn member_word(enabled: bool, weight: u16, health: Health) -> MemberWord {
    match health {
        _ if !enabled => MemberWord::Maintenance,
        Health::Up if weight == 0 => MemberWord::Drain,
        Health::Up => MemberWord::Up,
        Health::Down => MemberWord::Down,
        Health::NoCheck => MemberWord::NoCheck,
    }
}
