//! What a story of readings and runs comes to, as notices.

use ananke_core::notice::Throttle;
use ananke_core::power::UpsSpec;

use super::*;

const START: Moment = Moment::from_millis(1_773_453_971_000);

/// `OB 80% 1200s`; `-`: nothing is heard.
fn reading(text: &str) -> Option<UpsReading> {
    let words = || text.split(' ');
    let number = |suffix: char| words().find_map(|word| word.strip_suffix(suffix)?.parse::<u64>().ok());
    (text != "-").then(|| UpsReading {
        status: words().filter(|word| word.chars().all(char::is_alphabetic)).map(Into::into).collect(),
        charge_percent: number('%').map(|charge| u8::try_from(charge).unwrap()),
        runtime: number('s').map(Duration::from_secs),
    })
}

/// Each reading counts until the next one. A notice is its second, its sentence and its details.
fn told(story: &[(u64, &str)], end: u64) -> Vec<String> {
    told_after(&Told::default(), story, end)
}

/// The same with what was told before the daemon began.
fn told_after(told_before: &Told, story: &[(u64, &str)], end: u64) -> Vec<String> {
    let name: Arc<str> = "rack".into();
    let spec = PowerSpec { upses: vec![UpsSpec::feeding_all(name.clone())], ..PowerSpec::default() };
    let (mut watch, mut before, mut told) = (PowerWatch::default(), None, Vec::new());
    for second in 0..=end {
        let now = START.plus(Duration::from_secs(second));
        let (_, text) = story.iter().rev().find(|(from, _)| *from <= second).unwrap();
        watch.take(&name, reading(text), &spec, now);
        let reserve = Duration::from_secs(600);
        let refused = BTreeMap::new();
        let look = Look { watch: &watch, spec: &spec, reserve, refused: &refused, holding: None, paused: None };
        let (power, notices) = seen(look, before.as_ref(), told_before, now);
        told.extend(notices.iter().map(|notice| format!("{second} {}: {}", notice.sentence, notice.details.join("; "))));
        before = Some(power);
    }
    told
}

#[test]
fn an_outage_is_told_when_it_begins_gets_worse_and_ends() {
    let story =
        [(0, "OL 100% 3000s"), (10, "OB 99% 2000s"), (60, "-"), (70, "OB 60% 900s"), (90, "OB 40% 590s"), (120, "OL 41% 600s")];
    assert_eq!(
        told(&story, 200),
        [
            "25 UPS rack is on battery: charge 99 %, runtime 33m20s, 0 s ago",
            "60 UPS rack is on battery and is not heard any more: charge 99 %, runtime 33m20s, 1 s ago",
            "90 UPS rack asks for a shutdown: its runtime is 9m50s and a shutdown needs 10m00s; charge 40 %, runtime 9m50s, 0 s ago",
            "135 UPS rack is on line again: charge 41 %, runtime 10m00s, 0 s ago",
        ]
    );
}

#[test]
fn a_ups_that_stays_silent_on_line_is_told_once_and_its_return_too() {
    assert_eq!(
        told(&[(0, "OL 100% 3000s"), (10, "-"), (900, "OL 100% 3000s")], 1000),
        [
            "610 UPS rack is not heard any more: nobody here would know of an outage: charge 100 %, runtime 50m00s, 601 s ago",
            "900 UPS rack is on line again: charge 100 %, runtime 50m00s, 0 s ago",
        ]
    );
}

#[test]
fn a_ups_that_does_not_tell_where_its_power_comes_from_is_told_once_and_its_return_too() {
    assert_eq!(
        told(&[(0, "OL 100% 60s"), (10, "OFF 100%"), (2000, "OL 100% 60s")], 2100),
        [
            "1270 UPS rack does not tell where its power comes from: nobody here would know of an outage: charge 100 %, 601 s ago",
            "2000 UPS rack is on line again: charge 100 %, runtime 1m00s, 0 s ago",
        ]
    );
}

#[test]
fn a_login_that_is_refused_is_told_once() {
    let name: Arc<str> = "rack".into();
    let spec = PowerSpec { upses: vec![UpsSpec::feeding_all(name.clone())], ..PowerSpec::default() };
    let why = PortError::new(ananke_core::port::ErrorKind::Denied, "log in to the UPS", "rack", "ACCESS-DENIED");
    let (watch, refused) = (PowerWatch::default(), BTreeMap::from([("rack".to_owned(), why)]));
    let look = Look { watch: &watch, spec: &spec, reserve: Duration::ZERO, refused: &refused, holding: None, paused: None };
    let (power, notices) = seen(look, None, &Told::default(), START);
    assert_eq!(notices[0].sentence, "UPS rack is read, and does not wait for the shutdown: its upsd refuses the login");
    assert!(seen(look, Some(&power), &Told::default(), START).1.is_empty());
}

#[test]
fn an_outage_of_which_the_daemon_before_told_goes_on_after_a_restart() {
    let mut throttle = Throttle::new(12, Told::default());
    let mut heard = |sentence: &str| {
        throttle.take(Notice::new("UPS rack", Urgency::Warning, sentence), START);
        throttle.told().clone()
    };
    let outage = heard("UPS rack is on battery");
    let ended = "1 UPS rack is on line again: charge 41 %, runtime 10m00s, 0 s ago";
    assert_eq!(told_after(&outage, &[(0, "-"), (1, "OL 41% 600s")], 60), [ended]);
    assert!(told_after(&outage, &[(0, "OB 90% 2000s")], 60).is_empty());
    let over = heard("UPS rack is on line again");
    assert!(told_after(&over, &[(0, "OL 41% 600s")], 60).is_empty());
}

#[test]
fn blips_and_a_upsd_that_is_away_are_no_news() {
    assert!(told(&[(0, "OL 100%"), (5, "OB 99% 3000s"), (12, "OL 99%"), (40, "-"), (90, "OL 99%")], 120).is_empty());
    assert!(told(&[(0, "-"), (10, "OL 100%")], 60).is_empty());
}

fn tick(overdue: &[&str], manual: &[&str]) -> Tick {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let (at, next) = (START, START);
    Tick { at, done: vec![], overdue: texts(overdue), failed: vec![], notes: vec![], manual: texts(manual), next }
}

#[test]
fn leases_are_told_once_while_they_last() {
    let (board, mut notices) = with_outbox();
    board.swept(&tick(&["titan-01"], &[]));
    board.swept(&tick(&["titan-01"], &["titan-02: press the button"]));
    board.swept(&tick(&[], &["titan-02: press the button"]));
    assert_eq!(sentences(&mut notices), ["overdue: titan-01", "a person is needed: titan-02: press the button"]);
}

#[test]
fn a_run_that_cannot_begin_is_one_story_however_often_it_is_tried() {
    let (board, mut notices) = with_outbox();
    let failure = || Err(Failure::Usage("no".to_owned()));
    board.begins(Command::Shutdown, "its charge is 20 %");
    board.ended(Command::Shutdown, &failure());
    board.begins(Command::Shutdown, "its charge is 19 %");
    board.ended(Command::Shutdown, &failure());
    assert_eq!(sentences(&mut notices), ["shutdown begins", "shutdown could not begin", "shutdown could not begin"]);
    assert!(board.known().runs.is_empty());
}

#[test]
fn a_keeper_that_does_not_come_round_is_stuck() {
    let (mut board, _notices) = with_outbox();
    assert_eq!(board.stuck(), Vec::<String>::new());
    board.began = board.clock.now().minus(Duration::from_secs(31));
    board.watches_power = true;
    assert_eq!(board.stuck(), ["the keeper of power has not come round for 31s; 30s is usual at most"]);
    board.began = board.clock.now().minus(Duration::from_secs(181));
    board.swept(&tick(&[], &[]));
    assert_eq!(board.stuck(), ["the keeper of power has not come round for 3m01s; 30s is usual at most"]);
    board.watches_power = false;
    assert_eq!(board.stuck(), Vec::<String>::new());
}

fn with_outbox() -> (Board, mpsc::Receiver<Notice>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let clock = SteadyClock::start();
    let outbox = Mutex::new(Some(sender));
    (
        Board { clock, began: clock.now(), told_before: Told::default(), watches_power: false, known: Mutex::default(), outbox },
        receiver,
    )
}

fn sentences(notices: &mut mpsc::Receiver<Notice>) -> Vec<String> {
    std::iter::from_fn(|| notices.try_recv().ok()).map(|notice| notice.sentence).collect()
}
