// Blocked has threads that stand still, in code of the interpreter and of both
// compilers, for a comparison with jstack. It prints "ready" once they do.

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.LockSupport;
import java.util.function.IntFunction;

public class Blocked {
    static final Object idle = new Object(), a = new Object(), b = new Object();
    static volatile long sink;

    interface Step { int at(int n); }

    static class Climb implements Step {
        final Step last;
        Climb(Step last) { this.last = last; }
        private int inlined(int n) { return at(n) + 1; }
        public int at(int n) {
            if (n == 0) return last.at(0);
            if (n % 3 == 0) return inlined(n - 1);
            return at(n - 1) + 1;
        }
    }

    static int waits(int n) {
        synchronized (idle) { try { idle.wait(); } catch (InterruptedException e) { return 1; } }
        return 0;
    }
    static int parks(int n) { while (true) LockSupport.park(idle); }
    static int sleeps(int n) { try { Thread.sleep(3600_000); } catch (InterruptedException e) { } return 0; }
    static int joins(int n) { try { Thread.currentThread().join(); } catch (InterruptedException e) { } return 0; }

    static void start(String name, Step last) {
        Thread t = new Thread(() -> { sink += new Climb(last).at(40); }, name);
        t.setDaemon(true);
        t.start();
    }

    static void locks(String name, Object first, Object second, CountDownLatch both) {
        Thread t = new Thread(() -> {
            synchronized (first) {
                both.countDown();
                try { both.await(); } catch (InterruptedException e) { }
                synchronized (second) { sink++; }
            }
        }, name);
        t.setDaemon(true);
        t.start();
    }

    public static void main(String[] args) throws Exception {
        // Both compilers see the climb before anyone blocks in it.
        Climb warm = new Climb(n -> 1);
        for (int i = 0; i < 20_000; i++) sink += warm.at(30);
        start("waits", Blocked::waits);
        start("parks", Blocked::parks);
        start("sleeps", Blocked::sleeps);
        start("joins", Blocked::joins);
        CountDownLatch both = new CountDownLatch(2);
        locks("first", a, b, both);
        locks("second", b, a, both);
        if (args.length > 0) { // "busy"
            Thread t = new Thread(() -> { while (true) sink += warm.at(100) + Integer.toString((int) sink).length(); }, "busy");
            t.setDaemon(true);
            t.start();
        }
        Thread.sleep(300);
        System.out.println("ready");
        sleeps(0);
    }
}
