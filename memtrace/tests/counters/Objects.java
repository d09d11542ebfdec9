// Fills a heap with objects of many classes. See ../../../workloads/README.md for the protocol.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

public final class Objects {
    static final class Order {
        final long number;
        final int count;
        final Order next;

        Order(long number, Order next) {
            this.number = number;
            this.count = (int) number;
            this.next = next;
        }
    }

    private static final List<Object> kept = new ArrayList<>();

    private static void fill(int count) {
        Random random = new Random(7);
        Order last = null;
        for (int i = 0; i < count; i++) {
            last = new Order(i, random.nextInt(10) == 0 ? null : last);
            kept.add(last);
            kept.add("text " + i);
            kept.add(new int[random.nextInt(60)]);
            kept.add(new long[random.nextInt(60)]);
            kept.add(new Object[random.nextInt(40)]);
            Map<Integer, Double> map = new HashMap<>();
            map.put(i, (double) i);
            kept.add(map);
        }
        // Larger than half a region of G1.
        kept.add(new char[3 << 20]);
        kept.add(new double[1 << 18]);
        System.gc();
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ok ready");
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(" ");
            if (words[0].equals("fill")) {
                fill(Integer.parseInt(words[1]));
            }
            System.out.println("ok " + words[0]);
        }
    }
}
