// Grows, holds and frees memory on command. See ../README.md for the protocol.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import sun.misc.Unsafe;

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

    private static final Unsafe unsafe = unsafe();
    private static final Thread[] churners = new Thread[2];
    /** What each thread says last: so many times three words. See publish(). */
    private static final int SAID = 4096;
    private static final long published = unsafe.allocateMemory(24L * SAID * churners.length);
    private static volatile boolean isChurning;

    private static Unsafe unsafe() {
        try {
            Field field = Unsafe.class.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            return (Unsafe) field.get(null);
        } catch (ReflectiveOperationException error) {
            throw new AssertionError(error);
        }
    }

    /** The heap in use, between two moments (CLOCK_MONOTONIC, ns). */
    private static void publish(long at) {
        unsafe.putLongVolatile(null, at, System.nanoTime());
        unsafe.putLongVolatile(null, at + 8, used());
        unsafe.putLongVolatile(null, at + 16, System.nanoTime());
    }

    /** Lets a block go and takes another one, of 32 to 2079 bytes, as fast as it can. */
    private static void churn(int thread, int bytes) {
        Random random = new Random(thread);
        byte[][] slots = new byte[bytes / churners.length / 1056][];
        for (int blocks = 0; isChurning; blocks++) {
            slots[random.nextInt(slots.length)] = new byte[32 + random.nextInt(2048)];
            if (blocks % 64 == 0) {
                publish(published + 24L * (SAID * thread + blocks / 64 % SAID));
            }
        }
    }

    private static void startChurning(int bytes) {
        isChurning = true;
        unsafe.setMemory(published, 24L * SAID * churners.length, (byte) 0);
        for (int i = 0; i < churners.length; i++) {
            int thread = i;
            churners[i] = new Thread(() -> churn(thread, bytes));
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
                case "churn" -> {
                    startChurning(value * MIB);
                    System.out.println("ok churn " + published);
                    continue;
                }
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
