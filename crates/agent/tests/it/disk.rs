//! Disks that are full, or hold nonsense.

use octavia_wire::{AmphoraSpec, files};

use crate::amphora::{Amphora, eventually};
use crate::member::{Member, get};

#[test]
fn a_full_disk_is_said_and_changes_nothing() {
    let amphora = Amphora::start();
    let (one, two) = (Member::start(amphora.ip, "one"), Member::start(amphora.ip, "two"));
    let spec = amphora.spec(amphora.free_port(), &[one.address]);
    let vip = (amphora.ip, spec.listeners[0].port).into();
    amphora.push(&spec).unwrap();
    let new = amphora.file("spec.json.new");
    let mut next = AmphoraSpec { generation: 2, ..spec.clone() };
    next.pools[0].members[0].port = two.address.port();

    std::os::unix::fs::symlink("/dev/full", &new).unwrap();
    let fault = amphora.push(&next).unwrap_err();
    assert_eq!(fault.http_code, 507, "{}", fault.error);
    assert!(fault.error.contains("nothing was changed"), "{}", fault.error);
    assert!(!new.is_symlink(), "nothing half written stays");
    std::fs::create_dir(&new).unwrap();
    assert_eq!(amphora.push(&next).unwrap_err().http_code, 500);
    assert_eq!(amphora.info().generation, 1);
    assert_eq!(get(vip).unwrap(), "one");

    std::fs::remove_dir(&new).unwrap();
    assert_eq!(amphora.push(&next).unwrap().generation, 2);
    assert_eq!(get(vip).unwrap(), "two");
}

#[test]
fn a_corrupt_spec_is_set_aside_and_traffic_goes_on() {
    let mut amphora = Amphora::start();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    let vip = (amphora.ip, spec.listeners[0].port).into();
    amphora.push(&spec).unwrap();
    let boot = amphora.info().boot;

    // With its proxy alive: the proxy knows better.
    amphora.kill_agent();
    std::fs::write(amphora.file(files::SPEC), "{\"version\": 1, ").unwrap();
    amphora.start_agent();
    let info = eventually("the proxy is found", || Some(amphora.info()).filter(|info| info.boot.is_some()));
    assert_eq!((info.boot, info.generation), (boot, 1));
    assert_eq!(get(vip).unwrap(), "one");
    assert!(amphora.file("spec.json.corrupt").exists());
    let old = AmphoraSpec { fence: 0, ..spec.clone() };
    assert_eq!(amphora.push(&old).unwrap_err().http_code, 409, "the proxy remembers the fence");
    assert_eq!(amphora.push(&spec).unwrap().generation, 1);
    assert_eq!(amphora.info().boot, boot);

    // With nothing alive: as if new.
    amphora.kill_agent();
    amphora.kill_proxy();
    std::fs::write(amphora.file(files::SPEC), [0; 100]).unwrap();
    amphora.start_agent();
    let info = eventually("another proxy runs", || Some(amphora.info()).filter(|info| info.boot.is_some()));
    assert_eq!((info.fence, info.generation), (0, 0));
    amphora.push(&spec).unwrap();
    assert_eq!(get(vip).unwrap(), "one");
}

#[test]
fn stale_files_of_the_dead_are_no_obstacle() {
    let mut amphora = Amphora::prepare();
    // A pid that exists, of a process that is not meant; a socket nobody listens on; text that is no pid.
    std::fs::write(amphora.file(files::PROXY_PID), format!("{} 1\n", std::process::id())).unwrap();
    std::fs::write(amphora.file(files::AGENT_PID), "not a pid").unwrap();
    std::fs::write(amphora.file(files::PROXY_SOCKET), "").unwrap();
    amphora.start_agent();
    let member = Member::start(amphora.ip, "one");
    let spec = amphora.spec(amphora.free_port(), &[member.address]);
    amphora.push(&spec).unwrap();
    assert_eq!(get((amphora.ip, spec.listeners[0].port).into()).unwrap(), "one");
    assert_ne!(amphora.proxy().unwrap().pid, std::process::id());
}
