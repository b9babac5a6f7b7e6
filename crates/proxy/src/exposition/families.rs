//! Which metrics there are: the original's names, for what the engine counts. Of those it has besides and why they are
//! not here tells `docs/metrics.md`.

use super::{Exposition, Family, Lane, Lines, Listener, Write};
use crate::balance::Peer;
use crate::snapshot::{MemberConf, Mode};
use crate::state::{Counted, Durations, Health, Responses};

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";
const HISTOGRAM: &str = "histogram";

const fn process(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    write: fn(&Exposition, &mut Lines<'_>),
) -> Family {
    Family { name, kind, help, lines: Write::Process(write) }
}

const fn listener(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    write: fn(&Listener, &mut Lines<'_>),
) -> Family {
    Family { name, kind, help, lines: Write::Listener(write) }
}

const fn pool(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    write: fn(&Lane, &mut Lines<'_>),
) -> Family {
    Family { name, kind, help, lines: Write::Pool(write) }
}

const fn member(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    write: fn(&Lane, &MemberConf, &mut Lines<'_>),
) -> Family {
    Family { name, kind, help, lines: Write::Member(write) }
}

/// In the order in which they are written.
pub(super) static FAMILIES: &[Family] = &[
    process(
        "octavia_loadbalancer_max_connections",
        GAUGE,
        "Connections of clients there may be at once.",
        |all, lines| lines.is(all.process.max_connections),
    ),
    process(
        "octavia_loadbalancer_current_connections",
        GAUGE,
        "Connections of clients that are open.",
        |all, lines| lines.is(all.process.totals.open),
    ),
    process(
        "octavia_loadbalancer_connections_total",
        COUNTER,
        "Connections of clients since the start.",
        |all, lines| lines.is(all.process.totals.connections),
    ),
    process(
        "octavia_loadbalancer_requests_total",
        COUNTER,
        "HTTP requests since the start.",
        |all, lines| lines.is(all.process.totals.requests),
    ),
    process("octavia_loadbalancer_listeners", GAUGE, "Listeners there are.", |all, lines| {
        lines.is(all.listeners.len());
    }),
    process(
        "octavia_loadbalancer_cpu",
        GAUGE,
        "Load of the machine in the last minute, in percent of its processors.",
        |all, lines| percent(all.process.cpu, lines),
    ),
    process(
        "octavia_loadbalancer_memory",
        GAUGE,
        "Memory of the machine in use, in percent.",
        |all, lines| {
            percent(all.process.memory, lines);
        },
    ),
    process(
        "octavia_loadbalancer_logs_total",
        COUNTER,
        "Lines of the access log that were written, to all targets together.",
        |all, lines| lines.is(all.process.log.written),
    ),
    process(
        "octavia_loadbalancer_dropped_logs_total",
        COUNTER,
        "Lines of the access log that were dropped, because a target did not take them in time.",
        |all, lines| lines.is(all.process.log.dropped),
    ),
    // Listeners.
    listener(
        "octavia_listener_status",
        GAUGE,
        "Status of the listener: 1 for the state it is in.",
        |l, lines| {
            lines.state(&["DOWN", "UP"], usize::from(l.open));
        },
    ),
    listener("octavia_listener_current_sessions", GAUGE, "Connections that are open.", |l, lines| {
        lines.is(l.conf.state.stats().conns);
    }),
    listener(
        "octavia_listener_limit_sessions",
        GAUGE,
        "Connections there may be at once, where that is limited.",
        |l, lines| {
            if let Some(limit) = l.conf.connection_limit {
                lines.is(limit);
            }
        },
    ),
    listener("octavia_listener_sessions_total", COUNTER, "Connections since the start.", |l, lines| {
        lines.is(l.conf.state.total(|c| &c.connections));
    }),
    listener("octavia_listener_connections_total", COUNTER, "Connections since the start.", |l, lines| {
        lines.is(l.conf.state.total(|c| &c.connections));
    }),
    listener("octavia_listener_bytes_in_total", COUNTER, "Bytes from clients.", |l, lines| {
        lines.is(l.conf.state.total(|c| &c.rx));
    }),
    listener("octavia_listener_bytes_out_total", COUNTER, "Bytes to clients.", |l, lines| {
        lines.is(l.conf.state.total(|c| &c.tx));
    }),
    listener(
        "octavia_listener_denied_connections_total",
        COUNTER,
        "Connections from addresses that are not allowed.",
        |l, lines| lines.is(l.conf.state.total(|c| &c.denied_connections)),
    ),
    listener(
        "octavia_listener_request_errors_total",
        COUNTER,
        "Requests that were broken, or broke off.",
        |l, lines| lines.is(l.conf.state.total(|c| &c.request_errors)),
    ),
    listener(
        "octavia_listener_requests_denied_total",
        COUNTER,
        "Requests that an L7 policy refused.",
        |l, lines| {
            if l.is_http() {
                lines.is(l.conf.state.total(|c| &c.denied_requests));
            }
        },
    ),
    listener(
        "octavia_listener_intercepted_requests_total",
        COUNTER,
        "Requests that were redirected, or asked for metrics.",
        |l, lines| {
            if l.is_http() {
                lines.is(l.conf.state.total(|c| &c.intercepted));
            }
        },
    ),
    listener("octavia_listener_http_requests_total", COUNTER, "HTTP requests.", |l, lines| {
        if l.is_http() {
            lines.is(l.conf.state.total(|c| &c.requests));
        }
    }),
    listener(
        "octavia_listener_http_responses_total",
        COUNTER,
        "HTTP responses by class of status, of members and of the load balancer's own.",
        |l, lines| {
            if l.is_http() {
                classes(|class| l.conf.state.responses(class), lines);
            }
        },
    ),
    listener(
        "octavia_listener_request_duration_seconds",
        HISTOGRAM,
        "Time from a request's head to the end of its response.",
        |l, lines| {
            if l.is_http() {
                durations(l, lines);
            }
        },
    ),
    // Pools.
    pool("octavia_pool_status", GAUGE, "Status of the pool: 1 for the state it is in.", |lane, lines| {
        let pool = &lane.route.pool;
        lines.state(&["DOWN", "UP"], usize::from(pool.members.is_empty() || pool.is_usable()));
    }),
    pool(
        "octavia_pool_current_sessions",
        GAUGE,
        "Requests (HTTP) or connections (TCP) that are under way.",
        |lane, lines| lines.is(lane.route.state.current()),
    ),
    pool(
        "octavia_pool_sessions_total",
        COUNTER,
        "Requests (HTTP) or connections (TCP) that came to the pool.",
        |lane, lines| lines.is(lane.route.state.entered()),
    ),
    pool("octavia_pool_bytes_in_total", COUNTER, "Bytes to members.", |lane, lines| {
        lines.is(lane.route.state.total(|c| &c.sent));
    }),
    pool("octavia_pool_bytes_out_total", COUNTER, "Bytes from members.", |lane, lines| {
        lines.is(lane.route.state.total(|c| &c.received));
    }),
    pool(
        "octavia_pool_connection_attempts_total",
        COUNTER,
        "Connections to members that were begun.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.attempts)),
    ),
    pool(
        "octavia_pool_connection_reuses_total",
        COUNTER,
        "Requests that found a connection to their member open.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.reuses)),
    ),
    pool(
        "octavia_pool_connection_errors_total",
        COUNTER,
        "Connections to members that could not be made.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.connect_errors)),
    ),
    pool(
        "octavia_pool_response_errors_total",
        COUNTER,
        "Responses that were broken, broke off or came too late.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.response_errors)),
    ),
    pool(
        "octavia_pool_retry_warnings_total",
        COUNTER,
        "Requests that went to the same member again.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.retries)),
    ),
    pool(
        "octavia_pool_redispatch_warnings_total",
        COUNTER,
        "Requests (HTTP) or connections (TCP) that went on to another member.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.redispatches)),
    ),
    pool(
        "octavia_pool_loadbalanced_total",
        COUNTER,
        "How often a member was chosen by the algorithm.",
        |lane, lines| lines.is(lane.route.state.total(|c| &c.balanced)),
    ),
    pool(
        "octavia_pool_last_session_seconds",
        GAUGE,
        "Time since a member was given something, once one was.",
        |lane, lines| lines.since(lane.route.state.last()),
    ),
    pool(
        "octavia_pool_connect_time_average_seconds",
        GAUGE,
        "Time to make a connection to a member, mean of the last 1024.",
        |lane, lines| lines.average(lane.route.state.average(|c| &c.connect)),
    ),
    pool(
        "octavia_pool_response_time_average_seconds",
        GAUGE,
        "Time from a request to the head of its response, mean of the last 1024.",
        |lane, lines| lines.average(lane.route.state.average(|c| &c.response)),
    ),
    pool(
        "octavia_pool_active_members",
        GAUGE,
        "Members that can take traffic, without backups.",
        |lane, lines| {
            lines.is(usable(lane, false));
        },
    ),
    pool("octavia_pool_backup_members", GAUGE, "Backup members that could take traffic.", |lane, lines| {
        lines.is(usable(lane, true));
    }),
    pool(
        "octavia_pool_http_requests_total",
        COUNTER,
        "HTTP requests that came to the pool.",
        |lane, lines| {
            if lane.http {
                lines.is(lane.route.state.entered());
            }
        },
    ),
    pool(
        "octavia_pool_http_responses_total",
        COUNTER,
        "HTTP responses by class of status, of members and in their place.",
        |lane, lines| {
            if lane.http {
                classes(|class| lane.route.state.responses(class), lines);
            }
        },
    ),
    // Members.
    member(
        "octavia_member_status",
        GAUGE,
        "Status of the member: 1 for the state it is in.",
        |_, m, lines| {
            lines.state(&["DOWN", "UP", "MAINT", "DRAIN"], state(m));
        },
    ),
    member(
        "octavia_member_current_sessions",
        GAUGE,
        "Requests (HTTP) or connections (TCP) that it serves.",
        |_, m, lines| lines.is(m.state.active()),
    ),
    member(
        "octavia_member_sessions_total",
        COUNTER,
        "Requests (HTTP) or connections (TCP) that it was given.",
        |_, m, lines| lines.is(m.state.requests()),
    ),
    member("octavia_member_bytes_in_total", COUNTER, "Bytes to the member.", |_, m, lines| {
        lines.is(m.state.total(|c| &c.sent));
    }),
    member("octavia_member_bytes_out_total", COUNTER, "Bytes from the member.", |_, m, lines| {
        lines.is(m.state.total(|c| &c.received));
    }),
    member(
        "octavia_member_connection_attempts_total",
        COUNTER,
        "Connections that were begun.",
        |_, m, lines| {
            lines.is(m.state.total(|c| &c.attempts));
        },
    ),
    member(
        "octavia_member_connection_reuses_total",
        COUNTER,
        "Requests that found a connection to the member open.",
        |_, m, lines| lines.is(m.state.total(|c| &c.reuses)),
    ),
    member(
        "octavia_member_connection_errors_total",
        COUNTER,
        "Connections that could not be made.",
        |_, m, lines| lines.is(m.state.total(|c| &c.connect_errors)),
    ),
    member(
        "octavia_member_response_errors_total",
        COUNTER,
        "Responses that were broken, broke off or came too late.",
        |_, m, lines| lines.is(m.state.total(|c| &c.response_errors)),
    ),
    member(
        "octavia_member_retry_warnings_total",
        COUNTER,
        "Requests that went to the member again.",
        |_, m, lines| lines.is(m.state.total(|c| &c.retries)),
    ),
    member(
        "octavia_member_redispatch_warnings_total",
        COUNTER,
        "Requests (HTTP) or connections (TCP) that went on to another member.",
        |_, m, lines| lines.is(m.state.total(|c| &c.redispatches)),
    ),
    member(
        "octavia_member_loadbalanced_total",
        COUNTER,
        "How often it was chosen by the algorithm.",
        |_, m, lines| lines.is(m.state.total(|c| &c.balanced)),
    ),
    member(
        "octavia_member_last_session_seconds",
        GAUGE,
        "Time since it was given something, once it was.",
        |_, m, lines| lines.since(m.state.last()),
    ),
    member(
        "octavia_member_connect_time_average_seconds",
        GAUGE,
        "Time to make a connection to it, mean of the last 1024.",
        |_, m, lines| lines.average(m.state.average(|c| &c.connect)),
    ),
    member(
        "octavia_member_response_time_average_seconds",
        GAUGE,
        "Time from a request to the head of its response, mean of the last 1024.",
        |_, m, lines| lines.average(m.state.average(|c| &c.response)),
    ),
    member("octavia_member_weight", GAUGE, "Its weight.", |_, m, lines| lines.is(m.weight)),
    member(
        "octavia_member_check_failures_total",
        COUNTER,
        "Checks that failed while the member was up.",
        |_, m, lines| {
            if is_checked(m) {
                lines.is(m.state.check_failures());
            }
        },
    ),
    member("octavia_member_check_up_down_total", COUNTER, "How often it went down.", |_, m, lines| {
        if is_checked(m) {
            lines.is(m.state.downs());
        }
    }),
    member("octavia_member_downtime_seconds_total", COUNTER, "For how long it was down.", |_, m, lines| {
        if is_checked(m) {
            lines.seconds(m.state.downtime(lines.now));
        }
    }),
    member(
        "octavia_member_check_last_change_seconds",
        GAUGE,
        "Time since it went up or down, or came to be.",
        |_, m, lines| {
            if is_checked(m) {
                lines.seconds(m.state.unchanged(lines.now));
            }
        },
    ),
    member(
        "octavia_member_http_responses_total",
        COUNTER,
        "HTTP responses of the member by class of status.",
        |lane, m, lines| {
            if lane.http {
                classes(|class| m.state.responses(class), lines);
            }
        },
    ),
];

impl Listener {
    fn is_http(&self) -> bool {
        !matches!(self.conf.mode, Mode::Tcp | Mode::Udp)
    }
}

fn percent(value: Option<f64>, lines: &mut Lines<'_>) {
    if let Some(value) = value {
        lines.is(format_args!("{value:.1}"));
    }
}

fn classes(of: impl Fn(usize) -> u64, lines: &mut Lines<'_>) {
    for (class, name) in Responses::CLASSES.iter().enumerate() {
        lines.line("", Some(("code", name)), of(class));
    }
}

fn durations(listener: &Listener, lines: &mut Lines<'_>) {
    let state = &listener.conf.state;
    let mut count = 0;
    for (bucket, &bound) in Durations::BOUNDS.iter().enumerate() {
        count += state.durations(bucket);
        lines.line("_bucket", Some(("le", &(bound as f64 / 1000.0).to_string())), count);
    }
    count += state.durations(Durations::BOUNDS.len());
    lines.line("_bucket", Some(("le", "+Inf")), count);
    let sum = state.duration();
    lines.line("_sum", None, format_args!("{}.{:03}", sum / 1000, sum % 1000));
    lines.line("_count", None, count);
}

/// Members that can take traffic.
fn usable(lane: &Lane, backup: bool) -> usize {
    let can = |m: &&MemberConf| m.backup == backup && m.weight > 0 && m.is_well();
    if lane.route.pool.is_ready() { lane.route.pool.members.iter().filter(can).count() } else { 0 }
}

fn state(member: &MemberConf) -> usize {
    match member.state.health() {
        _ if !member.enabled => 2,
        Health::Down => 0,
        _ if member.weight == 0 => 3,
        Health::Up | Health::NoCheck => 1,
    }
}

fn is_checked(member: &MemberConf) -> bool {
    member.state.health() != Health::NoCheck
}
