//! Cuts a story that fails to what it takes to fail: fewer steps, fewer nodes, an earlier end, as long as the same rule is
//! broken.

use super::story::Story;

/// Tries at most, each of which plays a story.
const TRIES: usize = 400;

/// The smallest story found of which `fails` still says so.
pub fn shrink(story: &Story, mut fails: impl FnMut(&Story) -> bool) -> Story {
    let mut best = story.clone();
    let mut tries = 0;
    loop {
        let before = best.clone();
        for smaller in [without_steps, with_less_gear, with_fewer_nodes, calm_earlier, with_fewer_servers] {
            smaller(&mut best, &mut |story| {
                tries += 1;
                tries <= TRIES && fails(story)
            });
        }
        if best == before || tries >= TRIES {
            return best;
        }
    }
}

type Fails<'a> = dyn FnMut(&Story) -> bool + 'a;

/// Takes the candidate where it still fails.
fn keep(best: &mut Story, candidate: Story, fails: &mut Fails<'_>) -> bool {
    let smaller = candidate != *best && fails(&candidate);
    if smaller {
        *best = candidate;
    }
    smaller
}

/// Leaves out half of the steps, a quarter, and so on to each alone.
fn without_steps(best: &mut Story, fails: &mut Fails<'_>) {
    let mut chunk = best.steps.len();
    while chunk > 0 {
        let mut from = 0;
        while from < best.steps.len() {
            let mut candidate = best.clone();
            candidate.steps.drain(from..(from + chunk).min(best.steps.len()));
            if !keep(best, candidate, fails) {
                from += chunk;
            }
        }
        chunk /= 2;
    }
}

fn with_less_gear(best: &mut Story, fails: &mut Fails<'_>) {
    for one in best.gear.clone() {
        let gear = best.gear.iter().copied().filter(|gear| *gear != one).collect();
        keep(best, Story { gear, ..best.clone() }, fails);
    }
}

fn with_fewer_nodes(best: &mut Story, fails: &mut Fails<'_>) {
    for nodes in [1, 2, 3, 4, 6, best.nodes / 2, best.nodes - 1] {
        if (1..best.nodes).contains(&nodes) && keep(best, Story { nodes, ..best.clone() }.tidy(), fails) {
            return;
        }
    }
}

fn with_fewer_servers(best: &mut Story, fails: &mut Fails<'_>) {
    for servers in [1, 3] {
        if servers < best.servers && keep(best, Story { servers, ..best.clone() }, fails) {
            return;
        }
    }
}

/// Not before the last step.
fn calm_earlier(best: &mut Story, fails: &mut Fails<'_>) {
    let last = best.steps.iter().map(|step| step.at).max().unwrap_or(0);
    for calm in [last, last + 60] {
        if calm < best.calm && keep(best, Story { calm, ..best.clone() }, fails) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::story::Act;
    use super::*;

    /// Fails where somebody cordons the third node, and later the seed's Ananke is killed.
    fn fails(story: &Story) -> bool {
        let at = |act: fn(&Act) -> bool| story.steps.iter().find(|step| act(&step.act)).map(|step| step.at);
        let cordon = at(|act| *act == Act::Cordon(3)).filter(|_| story.nodes >= 3);
        cordon.is_some_and(|cordon| at(|act| matches!(act, Act::Kill(_))).is_some_and(|kill| kill > cordon))
    }

    #[test]
    fn a_story_is_cut_to_what_it_takes() {
        let long: Story =
            "seed 1\nworld power-loss nodes 40 servers 3\n0:00 fault ssh-noisy node 9\n0:10 look\n1:00 cordon node 3\n\
                           2:00 peer\n3:00 kill for 9\n4:00 reboot node 8\n20:00 calm"
                .parse()
                .unwrap();
        let short: Story =
            "seed 1\nworld power-loss nodes 3 servers 1\n1:00 cordon node 3\n3:00 kill for 9\n3:00 calm".parse().unwrap();
        assert_eq!(shrink(&long, fails).to_string(), short.to_string());
    }

    #[test]
    fn a_story_that_does_not_fail_stays_whole() {
        let story = super::super::draw(7);
        assert_eq!(shrink(&story, |_| false), story);
    }
}
