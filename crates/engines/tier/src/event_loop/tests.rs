use std::sync::mpsc;

use larder_engine::completion::completion;
use larder_engine::{EngineError, SystemClock};

use super::*;

fn event_loop() -> EventLoop {
    EventLoop::new(7, Arc::new(SystemClock::new()))
}

#[test]
fn runs_spawned_tasks_and_timers() {
    let events = event_loop();
    let (worker, timer) = (events.worker().clone(), events.timer());
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = order.clone();
    events.run(async move {
        let (late, early) = (timer.clone(), timer.clone());
        let (first, second) = (order.clone(), order.clone());
        worker.spawn(async move {
            late.sleep(Duration::from_millis(20)).await;
            first.borrow_mut().push("late");
        });
        worker.spawn(async move {
            early.sleep(Duration::from_millis(1)).await;
            second.borrow_mut().push("early");
        });
        while order.borrow().len() < 2 {
            timer.sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(*seen.borrow(), ["early", "late"]);
}

#[test]
fn is_woken_from_another_thread() {
    let events = event_loop();
    let (give, take) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let completer: larder_engine::completion::Completer<u32> = take.recv().unwrap();
        completer.complete(Ok(42));
    });
    let worker = events.worker().clone();
    let answer: Result<u32, EngineError> = events.run(async move {
        let (completer, completion) = completion(&worker);
        give.send(completer).unwrap();
        completion.await
    });
    assert_eq!(answer.unwrap(), 42);
    thread.join().unwrap();
}

#[test]
fn drops_what_has_not_ended() {
    let events = event_loop();
    let held = Rc::new(());
    let (worker, inside) = (events.worker().clone(), held.clone());
    events.run(async move {
        worker.spawn(async move {
            let _inside = inside;
            std::future::pending::<()>().await;
        });
    });
    assert_eq!(Rc::strong_count(&held), 2);
    drop(events);
    assert_eq!(Rc::strong_count(&held), 1);
}
