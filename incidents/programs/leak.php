<?php
// A worker that keeps every answer: leak.php RATE_KIB SIZE
ini_set('memory_limit', '-1');
$answers = [];

function remember_answer(array &$answers, int $size): void
{
    $answers[] = str_repeat('x', $size);
}

[, $rate, $size] = array_map('floatval', array_merge([0], array_slice($argv, 1)));
$begin = microtime(true);
$kept = 0;
while (true) {
    while ($kept < (microtime(true) - $begin) * $rate * 1024) {
        remember_answer($answers, (int) $size);
        $kept += $size;
    }
    usleep(50000);
}
