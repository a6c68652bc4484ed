-- The largest answer counts events alone from now on; before, it also counted what came in their place, and that
-- says too much of a relay's cap. It is learned anew with the next answers.
UPDATE relay_limits SET largest_answer = 0;
