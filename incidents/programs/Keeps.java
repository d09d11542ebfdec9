import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Keeps what it makes: Keeps direct|objects|threads RATE_KIB SIZE, for ever. */
public class Keeps {
    static final List<Object> kept = new ArrayList<>();

    static void rememberAnswer(String kind, int size) {
        if (kind.equals("direct")) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(size);
            for (int at = 0; at < size; at += 4096) buffer.put(at, (byte) 1);
            kept.add(buffer);
        } else {
            kept.add(new byte[size]);
        }
    }

    public static void main(String[] arguments) throws Exception {
        double rate = Double.parseDouble(arguments[1]) * 1024;
        int size = Integer.parseInt(arguments[2]);
        long begin = System.nanoTime();
        for (double taken = 0; ; taken += size) {
            while (taken > (System.nanoTime() - begin) / 1e9 * rate) Thread.sleep(20);
            rememberAnswer(arguments[0], size);
        }
    }
}
