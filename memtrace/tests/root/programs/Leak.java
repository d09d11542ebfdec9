// Keeps two MiB of sessions more for every line that it reads, and makes half as much of something else that it drops.
import java.io.BufferedReader;
import java.io.InputStreamReader;

public final class Leak {
    static final class Session {
        final long number;
        final Session before;
        final long[] unused = null;

        Session(long number, Session before) {
            this.number = number;
            this.before = before;
        }
    }

    // With a header of 12 bytes and references of four.
    private static final int EACH = (2 << 20) / 32;

    private static Session last;
    private static long[] dropped;

    private static void remember() {
        for (int i = 0; i < EACH; i++) {
            last = new Session(i, last);
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        char[] kept = new char[5 << 20];
        System.out.println("ready");
        while (input.readLine() != null) {
            remember();
            for (int i = 0; i < 64; i++) {
                dropped = new long[2 << 10];
            }
        }
        System.out.println(kept.length);
    }
}
