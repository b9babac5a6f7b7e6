//! Scenarios: `tests/scenarios/*.txt` say what happens, reviewed snapshots say what is planned.
//!
//! A line is a command; its arguments are words, most in pairs of name and value:
//!
//! - `lb STATUS [generation N] [applied N] [pending SPAN] [attempts N] [topology T] [error WORD]` – the root row
//! - `listener N [STATUS]` – a listener's row
//! - `amphora aN STATUS [applied N] [heard SPAN] [age SPAN] [role R]` – a row; `heard`: its last heartbeat was so long ago
//! - `server aN gone|unknown|building|running|stopped|failed`, `agent aN silent|no-proxy|GENERATION [fence N] [fault N]`
//! - `vip yes|no|unknown`, `silence trusted|untrusted`, `boots slowly|at-once`
//! - `failover aN…` – an operator wants these amphorae replaced; `refresh aN` – wants its spec pushed again
//! - `stale aN SPAN` – so soon the agent, once it is said what it does, wants to be told anew what authorities say
//! - `trust NAME` – the authority that issues, and with it the key of heartbeats, is another from now on
//! - `papers aN NAME SPAN [fence N]` – the agent has papers of this authority, good for so long; `papers aN unknown` – it
//!   says nothing of them
//! - `change` – the user writes; `delete` – the user deletes; `lease` – another lease; `clock SPAN` – time goes by
//! - `plan` – prints the plan; `run` – prints and applies plans until there is nothing to do

use std::fmt::Write as _;
use std::path::Path;

use jiff::SignedDuration;
use octavia_model::{AmphoraStatus, Known, ProvisioningStatus, ReasonCode};
use octavia_plan::{Plan, ServerPower, Waiting, WantedPapers};
use octavia_wire::{AgentInfo, ListenerFault, PapersReport};

use crate::fixture::{amphora, listener, listener_id, statuses};
use crate::world::World;

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let printed = play(&std::fs::read_to_string(&file).unwrap());
        insta::with_settings!({ snapshot_path => "../scenarios", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, printed);
        });
    }
}

fn play(script: &str) -> String {
    let mut world = World::new();
    let mut out = String::new();
    for line in script.lines() {
        writeln!(out, "{line}").unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.first() {
            None | Some(&"#") => {}
            Some(&"plan") => print(&mut out, &world.plan()),
            Some(&"run") => run(&mut world, &mut out),
            Some(_) => command(&mut world, &words),
        }
    }
    out
}

fn run(world: &mut World, out: &mut String) {
    for _ in 0..20 {
        let plan = world.plan();
        print(out, &plan);
        let Plan::Run(steps) = plan else { return };
        steps.into_iter().for_each(|step| world.apply(step));
        if world.is_deleted() {
            return;
        }
    }
    panic!("no end after 20 plans:\n{out}");
}

fn print(out: &mut String, plan: &Plan) {
    let text = match plan {
        Plan::Done => "done".to_owned(),
        Plan::Run(steps) => steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n    "),
        Plan::Wait(Waiting::Boot(amphora)) => format!("wait for {amphora} to boot"),
        Plan::Wait(Waiting::Trouble(reason)) => format!("wait: {reason}"),
    };
    writeln!(out, "    {}", readable(&text)).unwrap();
    if matches!(plan, Plan::Run(_)) {
        writeln!(out, "    --").unwrap();
    }
}

/// Names for ids.
fn readable(text: &str) -> String {
    let mut text = text.to_owned();
    for n in 1..10 {
        text = text.replace(&crate::fixture::amphora_id(n).to_string(), &format!("a{n}"));
        text = text.replace(&listener_id(n).to_string(), &format!("listener {n}"));
    }
    text
}

fn command(world: &mut World, words: &[&str]) {
    let span = |text: &str| text.parse::<SignedDuration>().unwrap_or_else(|_| panic!("span {text:?}"));
    let value = |name: &str| words.iter().position(|w| *w == name).map(|at| words[at + 1]);
    let number = |name: &str| value(name).map(|text| text.parse::<u64>().unwrap());
    match words[0] {
        "lb" => {
            let lb = &mut world.desired.graph.load_balancer;
            lb.statuses = statuses(words[1].parse().unwrap());
            lb.generation = number("generation").unwrap_or(lb.generation);
            lb.applied_generation = number("applied").unwrap_or(if lb.statuses.provisioning.is_pending() {
                0
            } else {
                lb.generation
            });
            lb.topology = value("topology").map_or(lb.topology, |text| text.parse().unwrap());
            world.desired.deleting = lb.statuses.provisioning == ProvisioningStatus::PendingDelete;
            world.desired.pending_since = lb.statuses.provisioning.is_pending().then_some(world.now);
            if let Some(pending) = value("pending") {
                world.desired.pending_since = Some(world.now - span(pending));
            }
            world.desired.attempts = number("attempts").unwrap_or(0) as u32;
            world.desired.last_error = value("error").map(|text| text.replace('_', " "));
        }
        "listener" => {
            let n = words[1].parse().unwrap();
            let mut row = listener(n, 80 + n);
            row.statuses =
                statuses(words.get(2).map_or(ProvisioningStatus::Active, |word| word.parse().unwrap()));
            world.desired.graph.listeners.retain(|l| l.id != row.id);
            world.desired.graph.listeners.push(row);
        }
        "amphora" => {
            let id = World::amphora_named(words[1]);
            world.amphorae_made += 1;
            let mut row = amphora(world.amphorae_made, words[2].parse::<AmphoraStatus>().unwrap(), world.now);
            assert_eq!(row.id, id, "amphorae are numbered as they come");
            row.created_at = world.now - value("age").map_or(SignedDuration::from_hours(1), span);
            row.applied_generation = number("applied").unwrap_or(0);
            row.last_heartbeat_at = value("heard").map(|text| world.now - span(text));
            row.role = value("role").map_or(row.role, |text| Some(text.parse().unwrap()));
            if row.applied_generation > 0 {
                row.compute_id = Some("server".to_owned());
                row.lb_network_ip = Some("127.100.0.9".parse().unwrap());
            }
            world.desired.amphorae.push(row);
            world.seen(id);
        }
        "server" => {
            world.seen(World::amphora_named(words[1])).server = match words[2] {
                "gone" => Known::No,
                "unknown" => Known::Unknown,
                "building" => World::server(ServerPower::Building),
                "running" => World::server(ServerPower::Running),
                "stopped" => World::server(ServerPower::Stopped),
                "failed" => World::server(ServerPower::Failed),
                other => panic!("server state {other:?}"),
            };
        }
        "agent" => {
            let id = World::amphora_named(words[1]);
            let faults = value("fault").map(|n| ListenerFault {
                listener: listener_id(n.parse().unwrap()),
                address: world.desired.graph.load_balancer.vip.address,
                code: ReasonCode::PortNotPermitted,
                text: "The port needs a privilege.".to_owned(),
                advice: String::new(),
            });
            world.faults.insert(id, faults.into_iter().collect());
            let info = words[2]
                .parse()
                .ok()
                .map(|generation| world.agent(id, generation, number("fence").unwrap_or(1)));
            world.seen(id).agent = info;
            if words[2] == "no-proxy" {
                world.seen(id).agent = Some(AgentInfo { boot: None, ..world.agent(id, 0, 0) });
            }
        }
        "trust" => {
            let name = words[1].to_owned();
            world.observed.trust = Some(WantedPapers { mark: format!("mark of {name}"), authority: name });
        }
        "papers" => {
            let id = World::amphora_named(words[1]);
            let has = words.get(3).map(|span_left| {
                let until = world.now + span(span_left);
                let row = world.row(id);
                row.cert_expiration = Some(until);
                row.cert_authority = Some(words[2].to_owned());
                PapersReport { fence: number("fence").unwrap_or(0), mark: format!("mark of {}", words[2]) }
            });
            world.papers.remove(&id);
            world.papers.extend(has.clone().map(|has| (id, has)));
            if let Some(agent) = &mut world.seen(id).agent {
                agent.papers = has;
            }
        }
        "vip" => {
            world.observed.vip = match words[1] {
                "yes" => Known::Yes(()),
                "no" => Known::No,
                _ => Known::Unknown,
            };
        }
        "mute" => {
            let id = crate::fixture::amphora_id(words[1].trim_start_matches('a').parse().unwrap());
            world.mute.push(id);
        }
        "agreeing" => {
            world.observed.agreeing = true;
            // Twice: each is told of those after it, too.
            for _ in 0..2 {
                for id in world.desired.amphorae.iter().map(|row| row.id).collect::<Vec<_>>() {
                    let report = Some(world.agreeing(id)).filter(|_| !world.mute.contains(&id));
                    if let Some(agent) = &mut world.seen(id).agent {
                        agent.vrrp = report;
                    }
                }
            }
        }
        "silence" => world.observed.silence_trusted = words[1] == "trusted",
        "boots" => world.boots_at_once = words[1] == "at-once",
        "change" => {
            let lb = &mut world.desired.graph.load_balancer;
            lb.generation += 1;
            lb.statuses.provisioning = ProvisioningStatus::PendingUpdate;
            world.desired.pending_since = Some(world.now);
        }
        "failover" => {
            for name in &words[1..] {
                world.row(World::amphora_named(name)).to_replace = true;
            }
            command(world, &["change"]);
        }
        "refresh" => {
            let fence = world.desired.fence;
            world.row(World::amphora_named(words[1])).refresh_after = Some(fence);
        }
        "stale" => {
            let id = World::amphora_named(words[1]);
            world.refreshes.insert(id, (world.now + span(words[2])).as_second().try_into().unwrap());
        }
        "delete" => {
            world.desired.graph.load_balancer.statuses.provisioning = ProvisioningStatus::PendingDelete;
            world.desired.deleting = true;
            world.desired.pending_since = Some(world.now);
        }
        "lease" => world.desired.fence += 1,
        "clock" => world.now += span(words[1]),
        other => panic!("command {other:?}"),
    }
}
