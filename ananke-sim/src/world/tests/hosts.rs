//! What orders and faults do to the machines.

use ananke_core::name::{HostPath, SnapshotName};
use ananke_core::observation::{HostHealth, Leftovers, UnitState};
use ananke_core::spec::HostNeeds;

use super::super::{LONGHORN_DISK, Power};
use super::*;

fn row(world: &World, name: &str) -> usize {
    world.node_row(&node(name)).unwrap()
}

fn unit(world: &World, name: &str) -> UnitState {
    world.hosts()[row(world, name)].unit_state
}

#[test]
fn a_stopped_unit_leaves_shims_and_mounts_until_they_are_killed() {
    let mut world = world("healthy", 1);
    let left = |world: &World| world.leftovers(row(world, "titan-09"));
    let before = left(&world);
    assert!(before.shims > 0, "pods run there");
    assert!(world.kill_pods(&node("titan-09")).is_err(), "never beside a unit that runs");
    world.unit_stop(&node("titan-09")).unwrap();
    assert!(world.kill_pods(&node("titan-09")).is_err(), "nor one that stops");
    world.advance_to(MINUTE);
    assert_eq!(left(&world), before);
    world.kill_pods(&node("titan-09")).unwrap();
    assert_eq!(left(&world), Leftovers::default());
    world.unit_start(&node("titan-09")).unwrap();
    world.advance_to(10 * MINUTE);
    assert_eq!(world.truly_healthy(), Ok(()));
}

#[test]
fn power_off_is_for_real_and_lasts_until_the_supply_was_away_or_the_button_is_pressed() {
    let mut world = world("healthy", 1);
    let power = |world: &World| world.hosts()[row(world, "titan-09")].power;
    world.power_off(&node("titan-09"), false).unwrap();
    assert_eq!(power(&world), Power::Up, "a shutdown takes seconds");
    world.advance_to(MINUTE);
    assert_eq!(power(&world), Power::Off);
    world.power_restore();
    world.advance_to(10 * MINUTE);
    assert_eq!(power(&world), Power::Off, "its supply was never away");
    world.switch_on(&node("titan-09"));
    world.advance_to(20 * MINUTE);
    assert_eq!(power(&world), Power::Up);
    world.power_off(&node("titan-09"), false).unwrap();
    world.advance_to(21 * MINUTE);
    world.power_cut();
    world.power_restore();
    world.advance_to(30 * MINUTE);
    assert_eq!((power(&world), unit(&world, "titan-09")), (Power::Up, UnitState::Active));
}

#[test]
fn a_reboot_is_a_new_boot_and_makes_a_root_writable_once_more_if_its_journal_was_all_it_lacked() {
    for (fault, state) in [(Fault::RootReadOnlyOnce, UnitState::Active), (Fault::RootReadOnly, UnitState::Failed)] {
        let mut world = world("healthy", 1);
        world.inject(fault, Some(&node("titan-09"))).unwrap();
        let boot = world.hosts()[8].boot_id.clone();
        world.reboot(&node("titan-09")).unwrap();
        world.advance_to(MINUTE / 3);
        assert_eq!(world.hosts()[8].power, Power::Booting);
        world.advance_to(10 * MINUTE);
        assert_eq!((world.hosts()[8].power, unit(&world, "titan-09")), (Power::Up, state), "{fault}");
        assert_ne!(world.hosts()[8].boot_id, boot);
    }
}

#[test]
fn a_restart_ends_and_begins_the_unit_and_leaves_its_containers_alone() {
    let mut world = world("healthy", 1);
    let left = |world: &World| world.leftovers(row(world, "titan-09")).shims;
    let before = left(&world);
    world.unit_restart(&node("titan-09")).unwrap();
    assert_eq!(unit(&world, "titan-09"), UnitState::Deactivating);
    world.advance_to(MINUTE);
    assert_eq!((unit(&world, "titan-09"), left(&world)), (UnitState::Active, before));
    world.unit_stop(&node("titan-09")).unwrap();
    world.advance_to(2 * MINUTE);
    world.unit_restart(&node("titan-09")).unwrap();
    world.advance_to(3 * MINUTE);
    assert_eq!(unit(&world, "titan-09"), UnitState::Active);
    world.unit_restart(&node("titan-09")).unwrap();
    world.unit_stop(&node("titan-09")).unwrap();
    world.advance_to(4 * MINUTE);
    assert_eq!(unit(&world, "titan-09"), UnitState::Inactive, "the last order counts");
}

#[test]
fn a_wedged_kubelet_renews_and_is_well_after_a_restart_and_a_dead_runtime_is_not() {
    let mut world = world("healthy", 1);
    for (name, fault) in [("titan-08", Fault::NodeNeverReady), ("titan-09", Fault::KubeletWedged)] {
        world.inject(fault, Some(&node(name))).unwrap();
        world.advance_to(world.now() + 5 * MINUTE);
        assert_eq!(ready(&world, name), Tri::False, "{fault}");
        let found = &world.nodes()[row(&world, name)];
        assert!(world.renewed(found) > world.now() - MINUTE, "{fault}: its Lease is renewed");
        let message = if fault == Fault::NodeNeverReady { "container runtime is down" } else { "PLEG is not healthy" };
        assert!(found.message.starts_with(message), "{fault}: {}", found.message);
        world.unit_restart(&node(name)).unwrap();
        world.advance_to(world.now() + 5 * MINUTE);
    }
    assert_eq!((ready(&world, "titan-08"), ready(&world, "titan-09")), (Tri::False, Tri::True));
    assert_eq!(world.nodes()[row(&world, "titan-09")].message, "kubelet is posting ready status");
    assert_eq!(world.person_needed(), [node("titan-08")]);
}

#[test]
fn an_unplugged_worker_runs_on_unseen_and_finds_the_api_once_it_is_plugged_in() {
    let name = "titan-09";
    let lost = |world: &World| world.nodes()[row(world, name)].alive_since.is_none();
    let mut world = world("healthy", 1);
    let before = world.leftovers(row(&world, name)).shims;
    world.inject(Fault::Unplugged, Some(&node(name))).unwrap();
    world.advance_to(MINUTE);
    assert_eq!((ready(&world, name), unit(&world, name), lost(&world)), (Tri::Unknown, UnitState::Active, true));
    world.advance_to(10 * MINUTE);
    assert_eq!(world.leftovers(row(&world, name)).shims, before, "its containers run");
    assert!(world.mend(Fault::Unplugged, Some(&node(name))));
    world.advance_to(20 * MINUTE);
    assert_eq!(world.truly_healthy(), Ok(()));

    world.inject(Fault::Unplugged, Some(&node(name))).unwrap();
    world.power_lost();
    world.power_restore();
    world.advance_to(40 * MINUTE);
    assert_eq!((unit(&world, name), lost(&world)), (UnitState::Activating, true), "its agent waits for the API");
    assert!(world.mend(Fault::Unplugged, Some(&node(name))));
    world.advance_to(60 * MINUTE);
    assert_eq!((unit(&world, name), world.truly_healthy()), (UnitState::Active, Ok(())));
}

#[test]
fn a_kubelet_stays_wedged_through_a_power_cut() {
    let scenario = Scenario::default().with_fault(Fault::KubeletWedged, Some(node("titan-09")));
    let mut world = World::new(&scenario, 1);
    world.advance_to(30 * MINUTE);
    assert_eq!((ready(&world, "titan-09"), world.person_needed().len()), (Tri::False, 0));
    world.unit_restart(&node("titan-09")).unwrap();
    world.advance_to(60 * MINUTE);
    assert_eq!(world.truly_healthy(), Ok(()));
}

#[test]
fn a_snapshot_is_kept_by_the_server_that_took_it_and_needs_its_etcd() {
    let mut world = world("healthy", 1);
    let name = SnapshotName::parse("ananke-1").unwrap();
    assert!(world.save_snapshot(&node("titan-09"), &name).is_err(), "a worker has no etcd");
    world.save_snapshot(&node("titan-01"), &name).unwrap();
    let saved = &world.hosts()[0].snapshots;
    assert_eq!(saved.len(), 1);
    assert!(saved[0].name.starts_with("ananke-1-titan-01-") && saved[0].bytes > 0);
    world.inject(Fault::StoreHang, None).unwrap();
    assert!(world.save_snapshot(&node("titan-01"), &name).is_err());
    world.power_lost();
    assert!(world.save_snapshot(&node("titan-01"), &name).is_err());
    assert_eq!(world.hosts()[0].snapshots.len(), 1, "its disk keeps it");
}

#[test]
fn an_inspection_finds_what_it_is_asked_for_and_what_every_host_tells() {
    let mut world = world("healthy", 1);
    for fault in [Fault::MountMissing, Fault::ClockSkew] {
        world.inject(fault, Some(&node("titan-09"))).unwrap();
    }
    let disk = HostPath::parse(LONGHORN_DISK).unwrap();
    let needs = HostNeeds { mounts: vec![disk.clone(), HostPath::parse("/srv").unwrap()], ..HostNeeds::default() };
    let host = &world.hosts()[8];
    assert_eq!((host.skew, host.lacks(&HostNeeds::default()).missing_mounts), (90_000, Vec::new()));
    let space = host.health.space.clone();
    let found = HostHealth { clock_synced: Some(false), missing_mounts: vec![disk], space, ..HostHealth::default() };
    assert_eq!(host.lacks(&needs), found);
    assert_eq!(world.truly_healthy(), Ok(()), "the rest of the cluster does not suffer");
    assert_eq!(world.person_needed(), [node("titan-09")]);
}

#[test]
fn k3s_does_not_run_on_a_disk_that_cannot_be_written() {
    for fault in [Fault::RootReadOnly, Fault::DiskFull] {
        let mut world = world("healthy", 1);
        world.inject(fault, Some(&node("titan-09"))).unwrap();
        assert_eq!(unit(&world, "titan-09"), UnitState::Failed);
        world.unit_start(&node("titan-09")).unwrap();
        world.advance_to(10 * MINUTE);
        assert_eq!((unit(&world, "titan-09"), ready(&world, "titan-09")), (UnitState::Failed, Tri::Unknown));
        assert_eq!(world.truly_healthy(), Ok(()));
        assert_eq!(world.person_needed(), [node("titan-09")]);
    }
}
