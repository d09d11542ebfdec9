// Grows, holds and frees memory on command. See ../README.md for the protocol.
import com.sun.management.GarbageCollectorMXBean;
import com.sun.management.GcInfo;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryType;
import java.lang.management.MemoryUsage;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;

public final class Workload {
    private static final int MIB = 1 << 20;
    private static List<byte[]> blocks = new ArrayList<>();
    private static final List<ByteBuffer> direct = new ArrayList<>();
    private static final Random random = new Random(1);

    /** The function that grows: the tests look for its name in stacks. */
    private static void growBlock(int size) {
        blocks.add(new byte[size]);
    }

    private static void grow(long bytes) {
        for (long done = 0; done < bytes;) {
            int size = done < bytes / 4 * 3 ? 32 + random.nextInt(2048) : 256 << 10;
            growBlock(size);
            done += size;
        }
    }

    private static void free(int percent) {
        List<byte[]> kept = new ArrayList<>();
        int seen = 0;
        for (byte[] block : blocks) {
            seen += percent;
            if (seen >= 100) {
                seen -= 100;
            } else {
                kept.add(block);
            }
        }
        blocks = kept;
    }

    private static void growDirect(int mib) {
        ByteBuffer buffer = ByteBuffer.allocateDirect(mib * MIB);
        for (int i = 0; i < buffer.capacity(); i += 4096) {
            buffer.put(i, (byte) 1);
        }
        direct.add(buffer);
    }

    private static final Thread[] churners = new Thread[2];
    private static volatile boolean isChurning;

    /** Lets a block go and takes another one, of 32 to 2079 bytes, as fast as it can. */
    private static void churn(long seed, int bytes) {
        Random random = new Random(seed);
        byte[][] slots = new byte[bytes / churners.length / 1056][];
        while (isChurning) {
            slots[random.nextInt(slots.length)] = new byte[32 + random.nextInt(2048)];
        }
    }

    private static void startChurning(int bytes) {
        isChurning = true;
        for (int i = 0; i < churners.length; i++) {
            long seed = i;
            churners[i] = new Thread(() -> churn(seed, bytes));
            churners[i].start();
        }
    }

    private static void rest() throws InterruptedException {
        isChurning = false;
        for (Thread churner : churners) {
            churner.join();
        }
    }

    private static long used() {
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    /** The heap in use in these pools. */
    private static long used(Map<String, MemoryUsage> pools) {
        long used = 0;
        for (var pool : ManagementFactory.getMemoryPoolMXBeans()) {
            if (pool.getType() == MemoryType.HEAP && pools.containsKey(pool.getName())) {
                used += pools.get(pool.getName()).getUsed();
            }
        }
        return used;
    }

    /** The heap in use, how many collections there were before that, and what the last of them found and left. */
    private static String cycle() {
        while (true) {
            GcInfo last = null;
            long count = 0;
            for (var bean : ManagementFactory.getPlatformMXBeans(GarbageCollectorMXBean.class)) {
                GcInfo info = bean.getLastGcInfo();
                count += info == null ? 0 : info.getId();
                if (info != null && (last == null || info.getEndTime() >= last.getEndTime())) {
                    last = info;
                }
            }
            long used = used();
            long again = 0;
            for (var bean : ManagementFactory.getPlatformMXBeans(GarbageCollectorMXBean.class)) {
                GcInfo info = bean.getLastGcInfo();
                again += info == null ? 0 : info.getId();
            }
            if (count == again) {
                long before = last == null ? used : used(last.getMemoryUsageBeforeGc());
                long after = last == null ? used : used(last.getMemoryUsageAfterGc());
                return used + " " + count + " " + before + " " + after;
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ok ready");
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.trim().split(" +");
            int value = words.length > 1 ? Integer.parseInt(words[1]) : 0;
            switch (words[0]) {
                case "" -> {
                    continue;
                }
                case "grow" -> grow((long) value * MIB);
                case "free" -> free(value);
                case "direct" -> growDirect(value);
                case "gc" -> System.gc();
                case "allocated" -> {
                    System.out.println("ok allocated " + used());
                    continue;
                }
                case "cycle" -> {
                    System.out.println("ok cycle " + cycle());
                    continue;
                }
                case "churn" -> startChurning(value * MIB);
                case "rest" -> rest();
                case "hold" -> { }
                case "quit" -> {
                    System.out.println("ok quit");
                    return;
                }
                default -> {
                    System.out.println("error unknown command " + words[0]);
                    continue;
                }
            }
            System.out.println("ok " + words[0] + " " + value);
        }
    }
}
