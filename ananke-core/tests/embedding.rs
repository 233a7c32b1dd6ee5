//! Ananke inside another program is little work: the example says how, ends well, and stays short.

#[path = "../examples/embed.rs"]
mod embed;

#[test]
fn the_example_brings_its_cluster_up() {
    embed::main();
}

#[test]
fn the_example_is_shorter_than_a_hundred_lines() {
    assert!(include_str!("../examples/embed.rs").lines().count() < 100);
}
